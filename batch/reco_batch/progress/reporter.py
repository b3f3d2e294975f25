"""Reporters of a run's progress, and the two that print plain lines or warnings only.

`live` draws progress bars on a terminal, `json_log` writes JSON records. Stages may run in
parallel.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from reco_batch.errors import reason_of

#: Share of an earlier run's time after which this run's pace can be estimated.
_SETTLED = 0.1


class StageTimes(NamedTuple):
    """Stage times of an earlier run, from which the rest of this one is estimated."""

    ends: Mapping[str, float]
    """Seconds from the start of the first stage to the end of each."""

    @classmethod
    def from_manifest(
        cls, began: Mapping[str, object], seconds: Mapping[str, object]
    ) -> "StageTimes":
        """Return the stage times in a manifest; values that are not numbers are left out."""
        spans = [
            (name, start, took)
            for name, took in seconds.items()
            if isinstance(took, int | float) and isinstance(start := began.get(name), int | float)
        ]
        first = min((start for _, start, _ in spans), default=0.0)
        return cls({name: start - first + took for name, start, took in spans})

    def left(self, seconds: float, finished: Mapping[str, float]) -> float | None:
        """Return the estimated seconds to the end; None where nothing is known.

        Args:
            seconds: since the run began.
            finished: stages of this run, each with the seconds from the run's start to its end.
        """
        if not self.ends:
            return None
        total = max(self.ends.values())
        known = {name: self.ends[name] for name in finished if name in self.ends}
        if not known:
            return max(0.0, total - seconds)
        last = max(known, key=lambda name: known[name])
        # Another load of the machine, or other data, makes all stages slower or faster alike.
        pace = finished[last] / known[last] if known[last] > _SETTLED * total else 1.0
        return max(0.0, (total - known[last]) * pace - (seconds - finished[last]))


class Stage(Protocol):
    """One step of the night while it runs; may be told from several threads."""

    def advance(self, steps: int) -> None:
        """Count finished steps."""

    def note(self, text: str) -> None:
        """Replace what is said beside the stage; the last note stays."""

    def record_loss(self, epoch: int, loss: float) -> None:
        """Keep a training's mean loss of an epoch, the first being 1."""


class Reporter(Protocol):
    """Shows stages and remembers when each began, how long it took, and how it learned."""

    began: dict[str, float]
    """Seconds after the reporter was made."""
    seconds: dict[str, float]
    """Of the stages that have finished."""
    generation: str | None
    """Id of the run's generation; None until there is one."""
    losses: dict[str, list[tuple[int, float]]]
    """Epoch and loss, as each training stage told them; its parts follow each other."""

    def stage(self, name: str, *, total: int | None = None) -> AbstractContextManager[Stage]:
        """Wrap one stage of `total` steps; None where the number is not known."""

    def set_earlier_times(self, earlier: StageTimes) -> None:
        """Take the times of an earlier run, for an estimate of the time that is left."""

    def expect_stages(self, stages: int) -> None:
        """Expect so many more stages."""

    def info(self, text: str) -> None:
        """Show a line that is no stage."""

    def report_finding(self, text: str) -> None:
        """Show what was noticed in the data, or beside the work."""

    def warn(self, text: str) -> None:
        """Show what went wrong without stopping the night."""

    def set_generation(self, generation: str) -> None:
        """Take note of the generation that all of this is about."""

    def stop(self) -> None:
        """Remove live bars from the terminal, as the process is about to end."""

    def cancel(self) -> None:
        """Make every stage that is still at work end at its next step, by `Cancelled`."""


class Cancelled(Exception):
    """Raised in a stage when another one failed or the person interrupted the night."""


class QuietReporter:
    """Shows nothing."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.losses: dict[str, list[tuple[int, float]]] = {}
        self.generation: str | None = None
        self._origin = time.perf_counter()
        self._cancelled = threading.Event()

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:  # noqa: ARG002
        """Time the stage."""
        with self._timed(name):
            yield _SilentStage(self._cancelled, self._keep(name))

    def set_earlier_times(self, earlier: StageTimes) -> None:
        """Do nothing: without a display there is no estimate."""

    def expect_stages(self, stages: int) -> None:
        """Do nothing: without a display there is no estimate."""

    def info(self, text: str) -> None:
        """Show nothing."""

    def report_finding(self, text: str) -> None:
        """Show a line that says that it is only a note."""
        self.info(f"note: {text}")

    def warn(self, text: str) -> None:
        """Show a warning all the same: `--quiet` is about what goes as it should."""
        _print(f"warning: {text}")

    def set_generation(self, generation: str) -> None:
        """Show nothing: whoever reads lines sees the name at the end."""
        self.generation = generation

    def stop(self) -> None:
        """Do nothing: nothing moves."""

    def cancel(self) -> None:
        """Make every stage that is still at work end at its next step, by `Cancelled`."""
        self._cancelled.set()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.began[name] = round(started - self._origin, 3)
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def _keep(self, name: str) -> Callable[[int, float], None]:
        """Return what keeps the losses of a stage, under its name once there are any."""
        return lambda epoch, loss: self.losses.setdefault(name, []).append((epoch, loss))


class PlainReporter(QuietReporter):
    """Prints one line, with the time in UTC, when a stage has finished."""

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:  # noqa: ARG002
        """Time the stage and print its line at the end."""
        noted = NotedStage(self._cancelled, self._keep(name))
        with self._timed(name):
            yield noted
        self.info(stage_line(name, self.seconds[name], noted.text))

    def info(self, text: str) -> None:
        """Print a line; a full disk or a closed pipe under the log is no reason to stop a night."""
        _print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")

    def warn(self, text: str) -> None:
        """Print a line that says that it is a warning."""
        self.info(f"warning: {text}")


@contextmanager
def errors_as_warnings(reporter: Reporter, what: str) -> Iterator[None]:
    """Turn any error in the block into a warning: the outcome of the run is already decided.

    Args:
        reporter: shows the warning.
        what: the consequence of a failure, with which the warning begins.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  # a bug, too: readers see the new generation
        reporter.warn(f"{what}: {reason_of(error)}")


def _print(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def stage_line(name: str, seconds: float, note: str) -> str:
    """Return the line that a finished stage leaves."""
    return f"{name:<30} {seconds:6.1f} s  {note}".rstrip()


class _SilentStage:
    """A stage that shows nothing, and ends where it is told to."""

    def __init__(self, cancelled: threading.Event, keep: Callable[[int, float], None]) -> None:
        self._cancelled = cancelled
        self._keep = keep

    def advance(self, steps: int) -> None:  # noqa: ARG002  # shown by others
        """End the stage if the night is cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    def note(self, text: str) -> None:
        """Show nothing."""

    def record_loss(self, epoch: int, loss: float) -> None:
        """Keep the loss."""
        self._keep(epoch, loss)


class NotedStage(_SilentStage):
    """Keeps the last note for the line at the end."""

    text = ""

    def note(self, text: str) -> None:
        """Keep the note."""
        self.text = text
