"""Configurations: the fields everybody relies on, and those that follow other fields until they are set."""

import jax
import pytest
from absl import flags
from ml_collections import config_flags

from experiments.configs import natural, omniglot, omniglot_conv4, sine
from experiments.run import plain
from oplstm_jax.build import build_settings


@pytest.mark.parametrize("learner", sine.LEARNERS)
def test_sine_configs_hold_the_fields_everybody_relies_on(learner):
    config = sine.get_config(f"{learner},shot=7")
    fields = (
        "learner base data seed way shot train_shot query test_query passes eval_passes meta_batch learning_rate "
        "train_tasks validate_every norm"
    ).split()
    assert set(fields) <= set(config)
    assert (config.learner, config.shot, config.train_shot) == (learner, 7, 7)
    config.passes = 2
    assert config.eval_passes == 2
    with pytest.raises((KeyError, AttributeError), match="shot"):
        config.shto = 3


def test_an_option_that_is_none_takes_a_number():
    config = omniglot.get_config("op_lstm")
    assert config.options.gamma is None and plain(config)["options"]["gamma"] is None
    config.update_from_flattened_dict({"options.gamma": 0.1})
    assert plain(config)["options"]["gamma"] == 0.1


def test_a_number_can_be_none_by_command_and_after_the_colon():
    config, values = sine.get_config("maml,outer_clip=None"), flags.FlagValues()
    words = ["train", "--config.options.clip=None"]
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=words)
    values(words)
    options = {"inner_lr": 0.003769030557807799, "second_order": True, "clip": None}
    assert plain(values.config)["options"] == options and values.config.outer_clip is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [(sine.get_config("maml"), None), (omniglot.get_config("op_lstm"), None),
     (omniglot.get_config("maml,shot=5"), None), (omniglot.get_config("maml,passes=5,shot=10"), 1),
     (natural.get_config("protonet"), 1)],
)  # fmt: skip
def test_a_cpu_takes_one_task_at_a_time_where_more_do_not_fit_its_cache(config, expected):
    assert build_settings(config).tasks_at_once == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (omniglot.get_config("maml"), None),
        (omniglot_conv4.get_config("maml"), None),
        (natural.get_config("maml"), 1),
        (natural.get_config("sap"), 1),
        (natural.get_config("warp_maml,meta_batch=2"), 1),
        (natural.get_config("protonet"), None),
    ],
)
def test_a_gpu_takes_one_task_at_a_time_where_each_convolves_large_images_its_own_way(config, expected, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert build_settings(config).tasks_at_once == expected


def test_passes_and_shots_of_training_follow_those_of_evaluation_only_until_they_are_set():
    config = natural.get_config("maml")
    assert (config.passes, config.eval_passes) == (5, 10)
    config = natural.get_config("warp_maml,shot=1,eval_passes=7")
    assert (config.shot, config.train_shot, config.passes, config.eval_passes) == (1, 5, 5, 7)
    config = natural.get_config("op_lstm_head,shot=5,passes=2")
    assert (config.shot, config.train_shot, config.passes, config.eval_passes) == (5, 5, 2, 2)


@pytest.mark.parametrize(
    ("argument", "changes", "tasks"),
    [
        ("sap", {}, 60_000),
        ("sap,shot=5", {}, 40_000),
        ("sap", {"shot": 5}, 40_000),
        ("sap,shot=5", {"shot": 1}, 60_000),
        ("sap,train_tasks=7", {"shot": 5}, 7),
        ("sap", {"train_tasks": 7, "shot": 5}, 7),
        ("sap,shot=5", {"train_tasks": 7}, 7),
        ("maml", {"shot": 5}, 320_000),
    ],
)
def test_the_budget_of_sap_follows_its_shots_until_it_is_set(argument, changes, tasks):
    config = natural.get_config(argument)
    for field, value in changes.items():
        config[field] = value
    assert config.train_tasks == plain(config)["train_tasks"] == tasks


def test_any_option_of_the_learner_can_stand_after_the_colon_and_tuples_too():
    config = sine.get_config("op_lstm,options.layer_gammas=True,hidden=(7,6),options.sizes=(5,1),shot=3")
    assert config.options.layer_gammas is True and config.options.sizes == (5, 1)
    assert (config.hidden, config.shot) == ((7, 6), 3)
    assert config.options.is_locked


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("maml,shot=x", "not of type int"),
        ("maml,seed", "not of type int"),
        ("gpt", "unknown learner 'gpt'"),
        ("maml,options.clpi=3", "did you mean 'clip'.*fields of options: clip, inner_lr, second_order; after"),
        ("maml,options.low_rnk=3", "did you mean 'low_rank'.*after the colon of --config also recompute, low_rank"),
        ("maml,learner=mmal,options.recompute=True", "unknown field 'options.recompute'"),
        ("maml,shot.most=3", "shot is 5 and has no fields"),
    ],
)
def test_bad_text_after_the_colon(argument, message):
    with pytest.raises(ValueError, match=message):
        sine.get_config(argument)
