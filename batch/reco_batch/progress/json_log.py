"""JSON log of a run on standard error: one object per line.

Every line has `timestamp`, `level`, `event`, `message` (for people) and `run`, the id of the
execution; after the generation is named, also `generation`. Events: `stage started`, `stage ended`
(seconds, note), `stage failed`, `finding`, `said` (information), `warning`, and at the end `ended`
(exit_code 0, seconds) or `error` (exit_code).
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
from reco_batch.settings.all_settings import Settings

MASK: Final = "***"
#: Id of this execution: a process is one run.
RUN: Final = uuid.uuid4().hex
_SHORTEST_SECRET: Final = 4  # a shorter one occurs in ordinary words, which would be masked

Log = structlog.stdlib.BoundLogger


def open_log(settings: Settings) -> Log:
    """Return the log of one run.

    Args:
        settings: settings whose secrets are masked in every line.
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
    """Return the secrets in the settings, longest first."""
    found: set[str] = set()
    for address in (settings.redis_url, settings.notify.url):
        if address:
            found |= _secrets_of_address(address)
    found |= set(settings.notify.command[1:])
    return tuple(sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text with every secret masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


class JsonReporter(QuietReporter):
    """Reporter that writes a line at the start and at the end of each stage."""

    def __init__(self, log: Log, *, quiet: bool = False) -> None:
        """Start a report.

        Args:
            log: log to write to.
            quiet: write warnings only.
        """
        super().__init__()
        self.log = log
        self._quiet = quiet

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Stage]:
        """Time a stage, and write its start and its end or failure."""
        noted, started = NotedStage(self._cancelled, self._keep(name)), time.perf_counter()
        self.log_event("stage started", stage=name, total=total)
        try:
            with self._timed(name):
                yield noted
        except BaseException as error:
            seconds = round(time.perf_counter() - started, 3)
            self.log.error(  # noqa: TRY400  # no traceback: the caller reports it
                "stage failed",
                stage=name,
                seconds=seconds,
                error=type(error).__name__,
                message=f"{name} failed: {reason_of(error)}",
            )
            raise
        self.log_event("stage ended", stage=name, seconds=self.seconds[name], note=noted.text)

    def info(self, text: str) -> None:
        """Write an informational message."""
        self.log_event("said", text=text)

    def report_finding(self, text: str) -> None:
        """Write a finding."""
        self.log_event("finding", text=text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        self.log.warning("warning", text=text)

    def set_generation(self, generation: str) -> None:
        """Add the generation to every following line."""
        super().set_generation(generation)
        self.log = self.log.bind(generation=generation)

    def log_event(self, event: str, **fields: object) -> None:
        """Write an event unless quiet; empty fields are left out."""
        if not self._quiet:
            present = {name: value for name, value in fields.items() if value not in (None, "")}
            self.log.info(event, **present)


class _Lines:
    """Standard error, written one whole line at a time; a full disk does not end the run."""

    def __init__(self) -> None:
        self._writing = threading.Lock()

    def msg(self, line: str) -> None:
        """Write a line."""
        with self._writing, suppress(OSError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    info = warning = error = msg


def _with_message(_: Any, __: str, event: Any) -> Any:  # noqa: ANN401  # structlog's own
    """Add `message` to a line: the field that log collectors show as its text."""
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
    except ValueError:  # not an address: all of it may be secret
        return {address}
    password = parts.password or ""
    found = {password, unquote(password)}
    found |= {value for name, value in parse_qsl(parts.query) if "password" in name.lower()}
    if parts.scheme in ("http", "https"):  # the path of a web hook is its password
        found |= {f"{parts.path}?{parts.query}", parts.path, parts.query}
    return found
