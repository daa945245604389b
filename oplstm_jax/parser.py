"""Arguments of the library's own commands: what is wrong with them is one line and exit code 2."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's, but an error is said without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {' '.join(message.split())}\n")
