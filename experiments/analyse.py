"""Measures what trained learners do, or what their parts can do, without training a learner.

    python -m experiments.analyse rule_fit --to=results/beyond/rule_fit [--seeds=3 --steps=1000]
    python -m experiments.analyse common --to=results/beyond/common [--seeds=3 --tasks=100]
    python -m experiments.analyse closeness|resemblance|passes|tangent --to=results/beyond/closeness [--tasks=100]

rule_fit: how well the coordinate-wise LSTM is fitted to known update rules, by width and depth. common: how much of
the features of untrained base-learners is the same for all examples of a task. Of the zoo's networks:
closeness: how near the updates of OP-LSTM are to gradient descent and to MAML's; resemblance: whether the classifiers
it learns are more like fine-tuned ones or like prototypes; passes: scores after every pass, up to more than were
trained with; tangent: the tangent kernel before and after a task is learned. Each writes table.md, table.json and
figure.png.
"""

from collections.abc import Callable
from pathlib import Path

from absl import flags

from experiments import capacity, cli, common, zoo_closeness, zoo_networks
from experiments.finding import Finding, destination, write_finding

flags.DEFINE_string("to", None, "Folder of the finding; made if it is not there.")
flags.DEFINE_integer("seeds", 3, "rule_fit, common: random starts of each fit or network.", lower_bound=2)
flags.DEFINE_integer("steps", 1_000, "rule_fit: steps of each fit.", lower_bound=1)
flags.DEFINE_integer("tasks", 100, "Of the zoo, common: test tasks of each entry or network.", lower_bound=2)

TOPICS: dict[str, Callable[[Path], Finding]] = {
    "rule_fit": lambda to: capacity.rule_fits(to, flags.FLAGS.seeds, flags.FLAGS.steps),
    "common": lambda to: common.common(to, flags.FLAGS.seeds, flags.FLAGS.tasks),
    "closeness": lambda to: zoo_closeness.closeness(to, flags.FLAGS.tasks),
    "passes": lambda to: zoo_networks.passes(to, flags.FLAGS.tasks),
    "resemblance": lambda to: zoo_closeness.resemblance(to, flags.FLAGS.tasks),
    "tangent": lambda to: zoo_networks.tangent(to, flags.FLAGS.tasks),
}


def main() -> None:
    topic, to = cli.positional("topic", tuple(TOPICS)), destination()
    to.mkdir(parents=True, exist_ok=True)
    print(write_finding(TOPICS[topic](to), to))


if __name__ == "__main__":
    cli.run(main, words=1)
