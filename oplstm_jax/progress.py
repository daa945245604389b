"""Progress of long work: one line that renews itself on a terminal, plain lines now and then in a log."""

import os
import sys
import time

LOG_SECONDS = 30  # between plain lines
COLUMNS = 80  # where a terminal does not say


class Progress:
    """Shows tasks done, rate, loss, score and time left on stderr."""

    def __init__(self, total_tasks: int):
        self._total = total_tasks
        self._start: tuple[float, int] | None = None
        self._shown = time.monotonic()

    def show(self, line: dict) -> None:
        """Shows one line of metrics (fields tasks, tasks_per_second and maybe loss, score, validation_score)."""
        now = time.monotonic()
        self._start = self._start or (now, line["tasks"])
        finished = line["tasks"] >= self._total
        terminal = sys.stderr.isatty()
        if not (terminal or finished or now - self._shown > LOG_SECONDS):
            return
        self._shown = now
        text = self._text(line, now)
        end = "\n" if finished or not terminal else ""
        print(f"\r{text[: _columns() - 1]}\x1b[K" if terminal else text, end=end, file=sys.stderr, flush=True)

    def _text(self, line: dict, now: float) -> str:
        since, tasks = self._start or (now, line["tasks"])
        rate = (line["tasks"] - tasks) / (now - since) if now > since else line["tasks_per_second"]
        left = (self._total - line["tasks"]) / rate if rate else float("inf")
        text = f"{line['tasks']}/{self._total} tasks, {rate:.0f}/s"
        for name, field in (("loss", "loss"), ("score", "score"), ("validation", "validation_score")):
            if field in line:
                text += f", {name} {line[field]:.4g}"
        return f"{text}, {clock(left)} left"


def _columns() -> int:
    """Of the terminal that shows the progress; one line too long would be two, of which only the last renews itself."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def clock(seconds: float) -> str:
    """A time such as 1:02:03 or 4:05; "?" for infinity."""
    if seconds == float("inf"):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
