"""What follows the end of a run, good or bad: the metrics file, the hook, the last line of the log.

Nothing here changes how the run ends.
"""

import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from reco_batch.errors import GateRefused
from reco_batch.json_log import JsonReporter, Log, hide, open_log, secrets_of
from reco_batch.metrics_file import Figures, write_metrics
from reco_batch.notify import HookFailed, notify
from reco_batch.progress import Reporter, choose_reporter
from reco_batch.served import Served, look_at_served
from reco_batch.settings import Settings
from reco_store import Held, Keys, RecoError
from reco_store.client import Client
from reco_store.console import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED
from reco_store.outcome import LIVE, Published

#: Ends that a person brought about, who is there to see it.
_NOT_TOLD: Final = (0, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE)


@dataclass(slots=True)
class Run:
    """A run, and what is known of it so far."""

    settings: Settings
    command: str
    reporter: Reporter
    started: float = field(default_factory=time.time)
    generation: str | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    served: Served | None = None
    is_served_known: bool = False

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return round(time.time() - self.started, 3)

    def made(self, published: Published, manifest: Mapping[str, Any] | None = None) -> None:
        """Take note of a generation that was staged, and of what the gate said."""
        self.generation, self.manifest = published.generation, manifest or {}
        self.gate = {} if published.verdict is None else dict(published.verdict.report)
        # People see it on the page of results, which a quiet run does not print; of one that is
        # not served they get the error alone.
        silent = self.settings.quiet and published.outcome == LIVE
        if silent or isinstance(self.reporter, JsonReporter):
            for warning in (*self.gate.get("warnings", ()), published.warning):
                if warning:
                    self.reporter.warn(warning)

    def look(self, client: Client, keys: Keys) -> None:
        """Take note of what is served, if anybody wants to know and the store tells."""
        hook = self.settings.notify
        if self.settings.metrics_file is None and not (hook.command or hook.url):
            return
        with suppress(RecoError):
            self.served = look_at_served(client, keys)
            self.is_served_known = True


@contextmanager
def followed(settings: Settings, command: str) -> Iterator[Run]:
    """Let metrics, notifications and the log's last line follow the run in the block.

    Raises:
        SystemExit: the log is for machines, and has the error as its last line.
    """
    log = open_log(settings) if settings.log_format == "json" else None
    run = Run(settings, command, choose_reporter(quiet=settings.quiet, log=log))
    try:
        yield run
    except BaseException as error:
        _follow(run, exit_code_of(error), error)
        if isinstance(run.reporter, JsonReporter):
            _end_in_json(run.reporter.log, error)
        raise
    _follow(run, 0, None)
    if isinstance(run.reporter, JsonReporter):
        run.reporter.tell("ended", exit_code=0, seconds=run.seconds)


@contextmanager
def ended_in_json(settings: Settings) -> Iterator[None]:
    """Say why a command ends in a line for machines, if that is the form that is wanted.

    Raises:
        SystemExit: it ended with an error, which is said.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if settings.log_format == "json":
            _end_in_json(open_log(settings), error)
        raise


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a command that ends with an error."""
    if isinstance(error, RecoError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return EXIT_BROKEN_PIPE if isinstance(error, BrokenPipeError) else 1


def reason_of(error: BaseException) -> str:
    """Return the line that says why a run ended, with what is still served."""
    said = str(error) if isinstance(error, RecoError) else f"{type(error).__name__}: {error}"
    return " ".join((said, *getattr(error, "__notes__", ())))


def _follow(run: Run, exit_code: int, error: BaseException | None) -> None:
    settings = run.settings
    if settings.metrics_file is not None:
        try:
            write_metrics(settings.metrics_file, _figures(run, exit_code))
        except OSError as failure:
            reason = failure.strerror or failure
            run.reporter.warn(f"the metrics file {settings.metrics_file} is not written ({reason})")
    if error is None or exit_code in _NOT_TOLD:
        return
    try:
        notify(settings.notify, _message(run, exit_code, error))
    except HookFailed as failure:
        run.reporter.warn(str(failure))


def _figures(run: Run, exit_code: int) -> Figures:
    return Figures(
        namespace=run.settings.namespace,
        exit_code=exit_code,
        ended=time.time(),
        seconds=run.seconds,
        stages=run.reporter.seconds,
        manifest=run.manifest,
        gate=run.gate,
        served=run.served,
        is_served_known=run.is_served_known,
    )


def _message(run: Run, exit_code: int, error: BaseException) -> dict[str, Any]:
    kinds = ((GateRefused, "refused"), (Held, "held"))
    return {
        "what": next((word for kind, word in kinds if isinstance(error, kind)), "failed"),
        "command": run.command,
        "namespace": run.settings.namespace,
        "reason": hide(reason_of(error), secrets_of(run.settings)),
        "exit_code": exit_code,
        "generation": run.generation,
        "served": None if run.served is None else run.served.generation,
        "host": socket.gethostname(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _end_in_json(log: Log, error: BaseException) -> None:
    """Write the last line, and end; but for what is no error, and for a pipe that was closed.

    Raises:
        SystemExit: with the exit code of the error.
    """
    if isinstance(error, SystemExit | GeneratorExit | BrokenPipeError):
        return
    code = exit_code_of(error)
    facts: dict[str, object] = {"text": reason_of(error), "exit_code": code}
    if code == 1:
        facts["traceback"] = "".join(traceback.format_exception(error))
    log.error("error", kind=type(error).__name__, **facts)
    raise SystemExit(code) from error
