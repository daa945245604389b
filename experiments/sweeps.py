"""What is varied in `experiments.sweep`: variants of one configuration, all trained on the same number of tasks."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.configs import glyphs, omniglot, sine


class Variant(NamedTuple):
    """One line of a sweep's table: its name, and the fields (`options.gamma`) that differ from the configuration."""

    name: str
    changes: dict[str, Any]

    @property
    def folder(self) -> str:
        """Of its runs: its name without blanks."""
        return self.name.replace(" + ", "+").replace(" ", "_")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Variants of a learner at equal budgets.

    argument: of `get_config`. fields: of all variants. passes: numbers of passes that the trained variants are tested
    with. selects: the sweep chooses a configuration, so it scores validation tasks alone. features: argument of the
    configuration that is trained first where variants take their `features_from` it.
    """

    title: str
    get_config: Callable[[str], ConfigDict]
    argument: str
    fields: dict[str, Any]
    variants: tuple[Variant, ...]
    passes: tuple[int, ...] = ()
    selects: bool = False
    features: str = ""

    def configure(self, variant: Variant, seed: int) -> ConfigDict:
        """The configuration of one run."""
        config = self.get_config(f"{self.argument},seed={seed}")
        with config.options.unlocked():
            for field, value in {**self.fields, **variant.changes}.items():
                place, _, name = field.rpartition(".")
                (config[place] if place else config)[name] = value
        return config


def widths(*sizes: int) -> Variant:
    """The widths of the coordinate-wise LSTM's cells: "5-5-1"."""
    return Variant("-".join(map(str, sizes)), {"options.sizes": sizes})


# A smaller base-learner and budget than the paper's: a variant with three seeds takes half a minute of one core.
SHORT = {"hidden": (40,), "train_tasks": 5_000, "validate_every": 2_500, "validation_tasks": 250, "test_tasks": 500}
SEARCH = {"train_tasks": 3_000, "validate_every": 1_500, "validation_tasks": 500, "test_tasks": 1}
COSINE = {"final_learning_rate": 0.0}
MUON = {**COSINE, "optimiser": "muon"}
TRAINED = "features"  # folder, in that of a sweep, of the run whose features variants take
FAST = {**COSINE, "learning_rate": 1e-3}
LAYER_NORMS = {"options.gamma": 0.025, "options.layer_gammas": True}

SWEEPS = {
    "widths": Sweep(
        "Widths and depth of the coordinate-wise LSTM",
        sine.get_config,
        "op_lstm,shot=10",
        {**SHORT, "passes": 3},
        (
            *(widths(*sizes) for sizes in ((1,), (1, 1), (5, 1), (20, 1), (5, 5, 1), (2, 1), (10, 1))),
            *(widths(*sizes) for sizes in ((5, 5, 5, 1), (20, 20, 1))),
        ),
        passes=(1, 3, 9),
    ),
    "widths_omniglot": Sweep(
        "Widths and depth of the coordinate-wise LSTM on Omniglot, fully connected base-learner",
        omniglot.get_config,
        "op_lstm,shot=1",
        {**FAST, **LAYER_NORMS, "train_tasks": 16_000, "validate_every": 4_000, "validation_tasks": 500},
        tuple(widths(*sizes) for sizes in ((1,), (1, 1), (2, 1), (5, 1), (5, 5, 1), (20, 1), (20, 20, 1))),
        passes=(1, 2, 3),
    ),
    "passes": Sweep(
        "Passes over the support set",
        sine.get_config,
        "op_lstm,shot=10",
        SHORT,
        tuple(Variant(f"{passes} passes", {"passes": passes}) for passes in (1, 3, 9)),
        passes=(1, 3, 9, 18),
    ),
    "coordinates": Sweep(
        "Coordinate-wise against full LSTM on the last layer",
        glyphs.get_config,
        "op_lstm_head",
        {"base": "mlp", "train_tasks": 8_000, "validate_every": 2_000, "test_tasks": 400},
        (
            *(widths(*sizes) for sizes in ((1,), (5, 1), (20, 20, 1))),
            *(
                Variant(f"full {'-'.join(map(str, sizes))}", {"options.sizes": sizes, "options.full": True})
                for sizes in ((5,), (20, 5), (20, 20, 5))
            ),
        ),
        passes=(1, 3, 9),
    ),
    "features": Sweep(
        "A mean-pooled LSTM on features trained with it, and on those of a trained ProtoNet",
        glyphs.get_config,
        "pi_lstm",
        {"train_tasks": 4_000, "validate_every": 500, "validation_tasks": 200},
        (Variant("trained with it", {}), Variant("frozen", {"features_from": TRAINED})),
        features="protonet,train_tasks=4_000,validate_every=500",
    ),
    "search": Sweep(
        "Variants of OP-LSTM on 5-shot sine waves",
        sine.get_config,
        "op_lstm,shot=5",
        SEARCH,
        (
            Variant("paper", {}),
            Variant("cosine", COSINE),
            Variant("3 x learning rate + cosine", {**COSINE, "learning_rate": 3e-3}),
            Variant("clipped at 1 + cosine", {**COSINE, "outer_clip": 1.0}),
            Variant("norm of each layer + cosine", {**COSINE, "options.layer_gammas": True}),
            Variant("gamma 0.1 + cosine", {**COSINE, "options.gamma": 0.1}),
            Variant("gamma 0.1 + clipped at 1 + cosine", {**COSINE, "outer_clip": 1.0, "options.gamma": 0.1}),
            Variant("gamma 0.3 + clipped at 1 + cosine", {**COSINE, "outer_clip": 1.0, "options.gamma": 0.3}),
            Variant(
                "gamma 0.1 + clipped at 1 + 2 x learning rate + cosine",
                {**COSINE, "outer_clip": 1.0, "options.gamma": 0.1, "learning_rate": 2e-3},
            ),
            Variant(
                "norm of each layer + gamma 0.1 + clipped at 1 + cosine",
                {**COSINE, "outer_clip": 1.0, "options.gamma": 0.1, "options.layer_gammas": True},
            ),
            Variant("biases adapt + cosine", {**COSINE, "options.adapt_biases": True}),
            Variant("20-1 + cosine", {**COSINE, "options.sizes": (20, 1)}),
            Variant("meta-batch 4 + 3 x learning rate + cosine", {**COSINE, "meta_batch": 4, "learning_rate": 3e-3}),
            Variant(
                "gamma 0.1 + meta-batch 4 + 2 x learning rate + cosine",
                {**COSINE, "options.gamma": 0.1, "meta_batch": 4, "learning_rate": 2e-3},
            ),
            Variant("gamma 0.1 + 20-1 + cosine", {**COSINE, "options.gamma": 0.1, "options.sizes": (20, 1)}),
            Variant("muon + cosine", MUON),
            Variant("gamma 0.1 + muon + cosine", {**MUON, "options.gamma": 0.1}),
            *(
                Variant(f"gamma 0.1 + muon at {rate} + cosine", {**MUON, "options.gamma": 0.1, "learning_rate": rate})
                for rate in (3e-3, 5e-4)
            ),
        ),
        selects=True,
    ),
    "search_omniglot": Sweep(
        "Variants of OP-LSTM on 1-shot Omniglot, fully connected base-learner",
        omniglot.get_config,
        "op_lstm,shot=1",
        {**SEARCH, "train_tasks": 16_000, "validate_every": 8_000},
        (
            Variant("paper", {}),
            Variant("cosine", COSINE),
            Variant("4 x learning rate + cosine", FAST),
            Variant("12 x learning rate + cosine", {**COSINE, "learning_rate": 3e-3}),
            Variant("4 x learning rate + cosine + rotations", {**FAST, "rotations": True}),
            Variant("4 x learning rate + cosine + shifts", {**FAST, "augment.crop": 2}),
            Variant("4 x learning rate + cosine + clipped at 1", {**FAST, "outer_clip": 1.0}),
            Variant("4 x learning rate + cosine + gamma", {**FAST, "options.gamma": 0.025}),
            Variant("4 x learning rate + cosine + norm of each layer", {**FAST, **LAYER_NORMS}),
            Variant(
                "12 x learning rate + cosine + norm of each layer",
                {**COSINE, **LAYER_NORMS, "learning_rate": 3e-3},
            ),
            Variant("4 x learning rate + cosine + biases adapt", {**FAST, "options.adapt_biases": True}),
            Variant("4 x learning rate + cosine + 3 passes", {**FAST, "passes": 3}),
            Variant("4 x learning rate + cosine + 20-20-1", {**FAST, "options.sizes": (20, 20, 1)}),
            *(
                Variant(f"muon at {rate} + cosine + norm of each layer", {**MUON, **LAYER_NORMS, "learning_rate": rate})
                for rate in (1e-3, 3e-4)
            ),
        ),
        selects=True,
    ),
}
