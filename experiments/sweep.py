"""Trains variants of one configuration on equally many tasks and compares them.

    python -m experiments.sweep widths|widths_omniglot|passes|coordinates|features|search|search_omniglot
        --workdir=runs/widths [--seeds=3] [--to=results/widths]

Finished variants are skipped and interrupted ones resumed; the seeds of a variant are trained in one program. The
workdir ends up holding a folder per variant with one per seed; --to is where table.md, table.json and figure.png go
(the workdir if not given). A sweep that chooses a configuration, `search...`, looks at no test scores.
"""

import sys
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from experiments import cli
from experiments.run import run_config, run_seeds
from experiments.sweep_table import write
from experiments.sweeps import SWEEPS, Sweep, Variant

flags.DEFINE_string("workdir", None, "Folder of the sweep; made if it is not there.")
flags.DEFINE_integer("seeds", 3, "Seeds of each variant: 0, 1, ...", lower_bound=1)
flags.DEFINE_list("variants", None, "Only these variants.")
flags.DEFINE_integer("train_tasks", None, "Tasks that train each variant (the sweep's if not given).", lower_bound=1)
flags.DEFINE_string("to", None, "Folder of the table; made if it is not there.")
flags.DEFINE_bool("train", True, "--notrain only writes the table of what is finished.")


def main() -> None:
    name = cli.positional("sweep", tuple(SWEEPS))
    sweep, root = SWEEPS[name], Path(cli.required("workdir"))
    for variant in _chosen(sweep) if flags.FLAGS.train else ():
        print(f"{variant.name}: {_train(sweep, variant, root / variant.folder)}", flush=True)
    print(write(sweep, root, Path(flags.FLAGS.to or root), flags.FLAGS.seeds))


def _chosen(sweep: Sweep) -> list[Variant]:
    names = [variant.name for variant in sweep.variants]
    for wanted in flags.FLAGS.variants or ():
        if wanted not in names:
            raise ValueError(f"flag --variants: unknown {wanted!r}: expected some of {'; '.join(names)}")
    return [variant for variant in sweep.variants if variant.name in (flags.FLAGS.variants or names)]


def _train(sweep: Sweep, variant: Variant, place: Path) -> str:
    config = _shortened(sweep.configure(variant, seed=0))
    config.num_seeds = flags.FLAGS.seeds
    print(f"{variant.name} ...", file=sys.stderr, flush=True)
    if config.features_from is not None:
        config.features_from = str(place.parent / config.features_from)
        run_config(_shortened(sweep.get_config(sweep.features)), config.features_from)
    results = run_seeds(config, place)
    return " ".join(f"{result['validation_score']:.4f}" for result in results)


def _shortened(config: ConfigDict) -> ConfigDict:
    """The configuration with as many training tasks as are asked for."""
    if flags.FLAGS.train_tasks is not None:
        config.train_tasks = flags.FLAGS.train_tasks
        config.validate_every = max(1, config.train_tasks // 4)
    config.log_every = min(config.log_every, config.validate_every)
    return config


if __name__ == "__main__":
    cli.run(main, words=1)
