"""The smallest problem as a command: what it leaves on the disk is what every run leaves, in a second.

    python -m tiny_command --workdir=FOLDER
"""

from absl import flags
from tiny import SETTINGS, line_problem

from experiments import cli
from oplstm_jax.train import finish, train
from oplstm_jax.workdir import Workdir

flags.DEFINE_string("workdir", None, "Folder of the run.")


def main() -> None:
    workdir = Workdir(cli.required("workdir"), SETTINGS._asdict())
    if workdir.result() is None:
        finish(line_problem(), train(line_problem(), SETTINGS, workdir), workdir, {"config": SETTINGS._asdict()})


if __name__ == "__main__":
    cli.run(main)
