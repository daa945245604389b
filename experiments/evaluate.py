"""Evaluates a trained run on the fixed list of test tasks, also under other conditions and on other images.

    python -m experiments.evaluate --workdir=runs/sine [--passes=20 --shot=10 --test_tasks=5000 --norm=support]
    python -m experiments.evaluate --workdir=runs/omniglot --data=glyphs [--way=5 --query=15]

With --data the tasks are of the test classes of another set, in the size the run was trained with. Prints one line and,
with --json=FILE, writes the same as JSON. Nothing in the workdir changes.
"""

import json
import sys
from pathlib import Path

from absl import flags

from experiments import cli
from experiments.run import describe
from oplstm_jax import build
from oplstm_jax.files import check_writable, write_text
from oplstm_jax.origin import facts
from oplstm_jax.records import CONFIG, read_config, read_result
from oplstm_jax.statistics import known
from oplstm_jax.trained import score_trained

flags.DEFINE_string("workdir", None, "Folder of a finished training run.")
flags.DEFINE_string("json", None, "Also write the result to this file.")
flags.DEFINE_string("data", None, "A prepared set, an .npz pack or a folder of images (the run's data if not given).")
flags.DEFINE_integer("passes", None, "Passes over the support set (the run's eval_passes if not given).")
flags.DEFINE_integer("way", None, "Classes of a task (the run's if not given).")
flags.DEFINE_integer("shot", None, "Support examples per class (the run's if not given).")
flags.DEFINE_integer("query", None, "Query examples per class (the run's test_query if not given).")
flags.DEFINE_integer("test_tasks", None, "Number of test tasks (the run's if not given).")
flags.DEFINE_string("norm", None, "Normalisation mode (the run's if not given).")

WITHOUT_PASSES = ("protonet", "random")
FIELDS = {
    "data": "data",
    "passes": "eval_passes",
    "way": "way",
    "shot": "shot",
    "query": "test_query",
    "test_tasks": "test_tasks",
    "norm": "norm",
}


def main() -> None:
    values = {field: flags.FLAGS[flag].value for flag, field in FIELDS.items()}
    changes = {field: value for field, value in values.items() if value is not None}
    workdir = Path(cli.required("workdir"))
    if flags.FLAGS.json:
        check_writable(flags.FLAGS.json)
    if "eval_passes" in changes and (learner := read_config(workdir, *CONFIG)["learner"]) in WITHOUT_PASSES:
        raise ValueError(f"flag --passes: {learner} takes no passes over the support set")
    result, _ = score_trained(workdir, **changes)
    if "data" not in changes and other_images(workdir):
        note = "note: the test tasks are others than when it was trained: other images, or settings of JAX"
        print(note, file=sys.stderr)
    result |= facts()
    print(describe(result))
    if flags.FLAGS.json:
        result["interval"] = known(result["interval"])
        write_text(Path(flags.FLAGS.json), json.dumps(result, indent=1, sort_keys=True) + "\n")


def other_images(workdir: Path) -> bool:
    """Whether the test tasks of a finished run would be others today; early results did not say which they were."""
    config, then = read_config(workdir), (read_result(workdir) or {}).get("task_list")
    return then is not None and then != build.list_of_test_tasks(config)


if __name__ == "__main__":
    cli.run(main)
