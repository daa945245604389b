"""SIGINT and SIGTERM as something a loop looks at between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interrupted(Exception):
    """Training stopped by a signal, after saving. `signal_number` says which."""

    def __init__(self, signal_number: int):
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


@contextlib.contextmanager
def collected() -> Iterator[list[int]]:
    """Collects the numbers of SIGINT and SIGTERM in a list instead of dying in the middle of a step.

    Outside the main thread, where Python delivers no signals, the list stays empty.
    """
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    old = {number: signal.signal(number, lambda n, frame: caught.append(n)) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
