"""Reporter protocol of a run's progress, and reporters that print plain lines or warnings only.

`live_bars` draws progress bars on a terminal, `json_log` writes JSON lines. Stages may run in
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

#: Share of an earlier run's time after which this run's speed relative to it is used.
_SETTLED = 0.1


class StageTimes(NamedTuple):
    """Stage times of an earlier run, from which the rest of this one is estimated."""

    ends: Mapping[str, float]
    """Seconds from the start of the first stage to the end of each stage."""

    @classmethod
    def from_manifest(
        cls, began: Mapping[str, object], seconds: Mapping[str, object]
    ) -> "StageTimes":
        """Return the stage times of a manifest; values that are not numbers are left out."""
        spans = [
            (name, start, took)
            for name, took in seconds.items()
            if isinstance(took, int | float) and isinstance(start := began.get(name), int | float)
        ]
        first = min((start for _, start, _ in spans), default=0.0)
        return cls({name: start - first + took for name, start, took in spans})

    def left(self, seconds: float, finished: Mapping[str, float]) -> float | None:
        """Return the estimated remaining seconds; None without times of an earlier run.

        Args:
            seconds: seconds since the run started.
            finished: finished stages, each with the seconds from the run's start to its end.
        """
        if not self.ends:
            return None
        total = max(self.ends.values())
        known = {name: self.ends[name] for name in finished if name in self.ends}
        if not known:
            return max(0.0, total - seconds)
        last = max(known, key=lambda name: known[name])
        # Another load, or other data, changes the speed of all stages by about the same factor.
        pace = finished[last] / known[last] if known[last] > _SETTLED * total else 1.0
        return max(0.0, (total - known[last]) * pace - (seconds - finished[last]))


class Stage(Protocol):
    """Running stage. All methods may be called from several threads."""

    def advance(self, steps: int) -> None:
        """Count finished steps."""

    def note(self, text: str) -> None:
        """Set the note of the stage; the last one stays."""

    def record_loss(self, epoch: int, loss: float) -> None:
        """Record the mean training loss of an epoch, counted from 1."""


class Reporter(Protocol):
    """Progress display of a run that also records start, duration and losses of each stage."""

    began: dict[str, float]
    """Start of each finished stage, in seconds after the reporter was created."""
    seconds: dict[str, float]
    """Duration of each finished stage, in seconds."""
    generation: str | None
    """Id of the run's generation; None until it is named."""
    losses: dict[str, list[tuple[int, float]]]
    """Epochs and losses of each training stage, in the order of training."""

    def stage(self, name: str, *, total: int | None = None) -> AbstractContextManager[Stage]:
        """Return a context manager for a stage of `total` steps; None if the number is unknown."""

    def set_earlier_times(self, earlier: StageTimes) -> None:
        """Set the stage times of an earlier run, from which the remaining time is estimated."""

    def expect_stages(self, stages: int) -> None:
        """Add to the number of expected stages."""

    def info(self, text: str) -> None:
        """Show information that is not about a stage."""

    def report_finding(self, text: str) -> None:
        """Show a finding about the data or the environment."""

    def warn(self, text: str) -> None:
        """Show a problem that does not end the run."""

    def set_generation(self, generation: str) -> None:
        """Set the generation of the run."""

    def stop(self) -> None:
        """Remove live bars from the terminal before the process ends."""

    def cancel(self) -> None:
        """Make every running stage raise `Cancelled` at its next step."""


class Cancelled(Exception):
    """Raised in a stage after another one failed or the user interrupted the run."""


class QuietReporter:
    """Reporter that shows warnings only."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.losses: dict[str, list[tuple[int, float]]] = {}
        self.generation: str | None = None
        self._origin = time.perf_counter()
        self._cancelled = threading.Event()

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:  # noqa: ARG002
        """Time a stage."""
        with self._timed(name):
            yield _SilentStage(self._cancelled, self._keep(name))

    def set_earlier_times(self, earlier: StageTimes) -> None:
        """Do nothing: there is no display."""

    def expect_stages(self, stages: int) -> None:
        """Do nothing: there is no display."""

    def info(self, text: str) -> None:
        """Show nothing."""

    def report_finding(self, text: str) -> None:
        """Show a finding as a note."""
        self.info(f"note: {text}")

    def warn(self, text: str) -> None:
        """Show a warning, which `--quiet` does not suppress."""
        _print(f"warning: {text}")

    def set_generation(self, generation: str) -> None:
        """Set the generation, without showing it."""
        self.generation = generation

    def stop(self) -> None:
        """Do nothing: there are no bars."""

    def cancel(self) -> None:
        """Make every running stage raise `Cancelled` at its next step."""
        self._cancelled.set()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.began[name] = round(started - self._origin, 3)
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def _keep(self, name: str) -> Callable[[int, float], None]:
        """Return a function that records losses under a stage's name."""
        return lambda epoch, loss: self.losses.setdefault(name, []).append((epoch, loss))


class PlainReporter(QuietReporter):
    """Reporter that prints one line, with the time in UTC, for each finished stage."""

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:  # noqa: ARG002
        """Time a stage and print its line at the end."""
        noted = NotedStage(self._cancelled, self._keep(name))
        with self._timed(name):
            yield noted
        self.info(stage_line(name, self.seconds[name], noted.text))

    def info(self, text: str) -> None:
        """Print a line with the time; a full disk or a closed pipe does not end the run."""
        _print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.info(f"warning: {text}")


@contextmanager
def errors_as_warnings(reporter: Reporter, consequence: str) -> Iterator[None]:
    """Turn any error in the block into a warning: the outcome of the run does not depend on it.

    Args:
        reporter: reporter of the warning.
        consequence: consequence of a failure, the first part of the warning.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  # also a bug
        reporter.warn(f"{consequence}: {reason_of(error)}")


def _print(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def stage_line(name: str, seconds: float, note: str) -> str:
    """Return the line of a finished stage."""
    return f"{name:<30} {seconds:6.1f} s  {note}".rstrip()


class _SilentStage:
    """Stage that shows nothing, and ends after `Reporter.cancel`."""

    def __init__(self, cancelled: threading.Event, keep: Callable[[int, float], None]) -> None:
        self._cancelled = cancelled
        self._keep = keep

    def advance(self, steps: int) -> None:  # noqa: ARG002  # other stages show it
        """End the stage if the run is cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    def note(self, text: str) -> None:
        """Show nothing."""

    def record_loss(self, epoch: int, loss: float) -> None:
        """Record the loss."""
        self._keep(epoch, loss)


class NotedStage(_SilentStage):
    """Stage that keeps its last note for the line at the end."""

    text = ""

    def note(self, text: str) -> None:
        """Keep the note."""
        self.text = text
