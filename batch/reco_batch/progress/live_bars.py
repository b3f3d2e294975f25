"""Live progress bars on a terminal: one for each running stage and one for the whole run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from reco_batch.progress.reporter import NotedStage, QuietReporter, Stage, StageTimes, stage_line
from reco_batch.progress.terminal import wrap


class LiveReporter(QuietReporter):
    """Reporter that draws a bar for each running stage and prints a line for each finished one."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._earlier: StageTimes | None = None  # without a bar for the whole run
        self._progress = Progress(
            TextColumn("  {task.description:<30}"),
            BarColumn(bar_width=15),
            _Note(self._whole_note),
            console=self._console,
            transient=True,
        )
        # Only one of two stages that start at the same time may start the display.
        self._changing = threading.Lock()
        self._running = 0
        self._count = 0
        self._whole: TaskID | None = None

    def set_earlier_times(self, earlier: StageTimes) -> None:
        """Set the stage times of an earlier run, from which the remaining time is estimated."""
        self._earlier = earlier

    def expect_stages(self, stages: int) -> None:
        """Add to the number of expected stages."""
        self._count += stages

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:
        """Show a bar while the stage runs."""
        with self._changing:
            task = self._progress.add_task(name, total=total, note="")
            self._last_line()
            if self._running == 0:
                self._progress.start()
            self._running += 1
        bar = _Bar(self._progress, task, self._cancelled, self._keep(name))
        try:
            with self._timed(name):
                yield bar
            line = stage_line(name, self.seconds[name], bar.text)
            self._print(line, mark="✓ ")
        finally:
            with self._changing:
                self._progress.remove_task(task)
                self._running -= 1
                if self._running == 0:
                    self._progress.stop()

    def info(self, text: str) -> None:
        """Print a text above the running bars, wrapped."""
        self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning above the running bars."""
        self.info(f"warning: {text}")

    def stop(self) -> None:
        """Remove the bars, and show the cursor again."""
        self._progress.stop()

    def _print(self, text: str, mark: str = "") -> None:
        """Print wrapped text; a word wider than the terminal, such as a path, stays whole."""
        first, *rest = wrap(text, self._console.width - len(mark))
        lines = [Text.assemble((mark, "green"), first), *(Text(" " * len(mark) + n) for n in rest)]
        for line in lines:
            self._console.print(line, no_wrap=True, overflow="ignore", crop=False)

    def _last_line(self) -> None:
        """Move the bar of the whole run below all others."""
        if self._earlier is None:
            return
        if self._whole is not None:
            self._progress.remove_task(self._whole)
        self._whole = self._progress.add_task("whole run", total=1.0, note=None)

    def _whole_note(self, task: Task) -> str:
        """Return elapsed and estimated time and the number of the stage."""
        seconds = time.perf_counter() - self._origin
        earlier = self._earlier or StageTimes({})
        left = earlier.left(seconds, self._finished())
        number = min(len(self.seconds) + 1, max(self._count, len(self.seconds)))
        stages = f"stage {number}" + (f"/{max(number, self._count)}" if self._count else "")
        if left is None:
            task.completed = number / max(number, self._count) if self._count else 0.0
            return f"{_clock(seconds)}, {stages}"
        task.completed = seconds / max(1e-3, seconds + left)
        return f"{_clock(seconds)} of ~{_clock(seconds + left)}, {stages}"

    def _finished(self) -> dict[str, float]:
        """Return the seconds from the run's start to the end of each finished stage."""
        return {name: self.began[name] + took for name, took in list(self.seconds.items())}


def _clock(seconds: float) -> str:
    """Format a time as `1:23`, or `1:02:03` from an hour on."""
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:").removeprefix("0") if seconds < 3599.5 else text


class _Note(ProgressColumn):
    """Column with a stage's note, or with the progress of the whole run."""

    def __init__(self, whole: Callable[[Task], str]) -> None:
        super().__init__()
        self._whole_note = whole

    def render(self, task: Task) -> Text:
        """Return the text."""
        note = task.fields["note"]
        return Text(self._whole_note(task) if note is None else note, style="dim")


class _Bar(NotedStage):
    """Stage that is a task of a rich progress display."""

    def __init__(
        self,
        progress: Progress,
        task: TaskID,
        cancelled: threading.Event,
        keep: Callable[[int, float], None],
    ) -> None:
        super().__init__(cancelled, keep)
        self._progress = progress
        self._task = task

    def advance(self, steps: int) -> None:
        """Move the bar."""
        super().advance(steps)
        self._progress.advance(self._task, steps)

    def note(self, text: str) -> None:
        """Show the note next to the bar."""
        super().note(text)
        self._progress.update(self._task, note=text)
