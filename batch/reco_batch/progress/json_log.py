"""What happens in a run, for machines: one JSON object a line, on standard error.

Every line has `timestamp`, `level`, `event`, `message` (for people), and the `run` that it is of;
once there is one, the `generation`. Events: `stage started`, `stage ended` (seconds, note),
`stage failed`, `finding`, `said`, `warning`, `error` (exit_code).
"""

import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from reco_batch.errors import reason_of
from reco_batch.progress.reporter import NotedStage, QuietReporter, Stage
from reco_batch.settings.fields import Settings

MASK: Final = "***"
#: Of everything that this process says: a process is one run.
RUN: Final = uuid.uuid4().hex
_SHORTEST_SECRET: Final = 4  # a shorter one would be found in half of all words

Log = structlog.stdlib.BoundLogger


def open_log(settings: Settings) -> Log:
    """Return the log of one run.

    Args:
        settings: their secrets are taken out of every line.
    """
    log: Log = structlog.wrap_logger(
        _Lines(),
        processors=[
            structlog.processors.add_log_level,
            _with_message,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            _masking(secrets_of(settings)),
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return log.bind(run=RUN, namespace=settings.namespace)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return the words that no line may have, the longest first."""
    found: set[str] = set()
    for address in (settings.redis_url, settings.notify.url):
        if address:
            found |= _secrets_of_address(address)
    found |= set(settings.notify.command[1:])
    return tuple(sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text with a mask for each secret."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


class JsonReporter(QuietReporter):
    """Writes a line as a stage begins, and one as it ends."""

    def __init__(self, log: Log, *, quiet: bool = False) -> None:
        """Begin to report.

        Args:
            log: takes the lines.
            quiet: only warnings are written.
        """
        super().__init__()
        self.log = log
        self._quiet = quiet

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:
        """Time the stage, and say how it went."""
        noted, started = NotedStage(self._cancelled, self._keep(name)), time.perf_counter()
        self.log_event("stage started", stage=name, total=total)
        try:
            with self._timed(name):
                yield noted
        except BaseException as error:
            seconds = round(time.perf_counter() - started, 3)
            self.log.error(  # noqa: TRY400  # no traceback: whoever catches it reports it
                "stage failed",
                stage=name,
                seconds=seconds,
                error=type(error).__name__,
                message=f"{name} failed: {reason_of(error)}",
            )
            raise
        self.log_event("stage ended", stage=name, seconds=self.seconds[name], note=noted.text)

    def info(self, text: str) -> None:
        """Write what is no stage."""
        self.log_event("said", text=text)

    def report_finding(self, text: str) -> None:
        """Write what was noticed."""
        self.log_event("finding", text=text)

    def warn(self, text: str) -> None:
        """Write what went wrong without stopping the night."""
        self.log.warning("warning", text=text)

    def set_generation(self, generation: str) -> None:
        """Name the generation in every line from now on."""
        super().set_generation(generation)
        self.log = self.log.bind(generation=generation)

    def log_event(self, event: str, **facts: object) -> None:
        """Write a line, unless only warnings are wanted; empty facts are left out."""
        if not self._quiet:
            said = {name: fact for name, fact in facts.items() if fact not in (None, "")}
            self.log.info(event, **said)


class _Lines:
    """Standard error, a whole line at a time; a full disk under the log stops no night."""

    def __init__(self) -> None:
        self._writing = threading.Lock()

    def msg(self, line: str) -> None:
        """Write a line."""
        with self._writing, suppress(OSError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    info = warning = error = msg


def _with_message(_: Any, __: str, event: Any) -> Any:  # noqa: ANN401  # structlog's own
    """Add `message` to each line: the field that log collectors show as its text."""
    words = event.get("text") or " ".join(
        str(event[name]) for name in ("event", "stage", "note") if event.get(name)
    )
    event.setdefault("message", words)
    return event


def _masking(secrets: tuple[str, ...]) -> Callable[[Any, str, Any], Any]:
    def mask(_: Any, __: str, event: Any) -> Any:  # noqa: ANN401  # structlog's own
        return {
            name: hide(value, secrets) if isinstance(value, str) else value
            for name, value in event.items()
        }

    return mask


def _secrets_of_address(address: str) -> set[str]:
    try:
        parts = urlsplit(address)
    except ValueError:  # no address: it may be anything
        return {address}
    password = parts.password or ""
    found = {password, unquote(password)}
    found |= {value for name, value in parse_qsl(parts.query) if "password" in name.lower()}
    if parts.scheme in ("http", "https"):  # of a hook: whoever knows its path may post there
        found |= {f"{parts.path}?{parts.query}", parts.path, parts.query}
    return found
