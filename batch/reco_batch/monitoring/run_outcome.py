"""The end of a run, good or bad: exit code, saving of an embedded store, notifications.

A run whose generation is live succeeds, even if an error ended it later; an embedded store is
saved to disk first. The metrics file, the hook and the last log line follow, and do not change the
outcome.
"""

import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reco_batch.errors import GateRefused, InputRefused, reason_of
from reco_batch.monitoring.failure_hook import HookFailed, notify
from reco_batch.monitoring.live_state import Served, read_served
from reco_batch.monitoring.prometheus import Figures, write_metrics
from reco_batch.progress.choose import choose_reporter
from reco_batch.progress.json_log import JsonReporter, Log, hide, open_log, secrets_of
from reco_batch.progress.reporter import Reporter, errors_as_warnings
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.target import Target
from reco_batch.signals import Watch
from reco_store import Held, RecoError, RunLock, StoreUnreachable, store_errors
from reco_store.errors import Fenced, LockHeld
from reco_store.publishing.outcome import LIVE, Published
from reco_terminal.console import (
    EXIT_BROKEN_PIPE,
    Terminated,
    account_of_interrupt,
    guard,
    interrupted,
)


@dataclass(slots=True)
class Run:
    """State of a run in progress."""

    settings: Settings
    command: str
    reporter: Reporter
    started: float = field(default_factory=time.time)
    generation: str | None = None
    """Generation that the run staged; None before that."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    served: Served | None = None
    """Live generation; None without one, or if it is not known."""
    is_served_known: bool = False
    """True if the store returned the live generation, or that there is none."""
    target: Target | None = None
    lock: RunLock | None = None
    """Lock of the namespace that the run publishes to; None until the store is connected."""
    live_before: str | None = None
    """Generation live before the run, or "nothing"; None if the store did not answer."""
    is_live: bool = False
    """True once readers have been switched to the run's generation."""
    is_saved: bool = False
    """True once the embedded store is saved, or a failure to save it is reported."""
    error: BaseException | None = None
    """Exception that ended the run early; None if it was not cut short."""

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return round(time.time() - self.started, 3)

    def connected(self, target: Target) -> RunLock:
        """Connect to the store, read its live generation, and return the lock, not yet acquired."""
        self.target = target
        self.lock = RunLock(target.connect(self.reporter.report_finding, start=True), target.keys)
        self.live_before = _live(self.lock)
        return self.lock

    def record_published(
        self, published: Published, manifest: Mapping[str, Any] | None = None
    ) -> None:
        """Record the generation that was staged and judged, and save an embedded store."""
        self.generation, self.manifest = published.generation, manifest or {}
        self.is_live = published.outcome == LIVE
        self.gate = {} if published.verdict is None else dict(published.verdict.report)
        # The result page contains the warnings; a quiet run does not print it.
        silent = self.settings.quiet and self.is_live
        if silent or isinstance(self.reporter, JsonReporter):
            for warning in (*self.gate.get("warnings", ()), published.warning):
                if warning:
                    self.reporter.warn(warning)
        self.save()
        self.update_served()

    def save(self) -> None:
        """Save an embedded store to disk, once; a failure becomes a warning."""
        if self.is_saved or self.target is None or self.lock is None or self.target.redis_url:
            return
        with (
            errors_as_warnings(
                self.reporter, f"{self.generation} may be lost if the machine fails now"
            ),
            self.reporter.stage("save the store") as stage,
        ):
            from reco_store.connection.embedded.server import save  # noqa: PLC0415  # of the extra

            save(self.lock.client, lambda done, total: stage.note(_keys_words(done, total)))
        self.is_saved = True

    def update_served(self) -> None:
        """Read the live generation from the store, if metrics or notifications need it."""
        hook = self.settings.notify
        if self.lock is None or not (self.settings.metrics_file or hook.command or hook.url):
            return
        with suppress(RecoError):
            self.served = read_served(self.lock.client, self.lock.keys)
            self.is_served_known = True

    def failed(self, error: BaseException) -> None:
        """Record the error, and whether the run's generation is live in spite of it."""
        now = None if self.lock is None else _live(self.lock)
        if now is not None:
            with suppress(Exception):  # the first error is the one to report
                self.update_served()
        # A live generation that is published again was live before, and may lack keys now.
        own = self.reporter.generation
        self.is_live = self.is_live or (own is not None and now == own != self.live_before)
        if self.is_live:
            self.generation = self.generation or now
            self.reporter.warn(
                f"generation {self.generation} is live, and the run was cut short after that: "
                f"{reason_of(error)}"
            )
        elif self.lock is not None or isinstance(error, StoreUnreachable):
            note = _still_served(self.live_before, now)
            # The thread that ends the process may have added it.
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)


def _keys_words(done: int, total: int) -> str:
    return f"{total:,} keys" if done == total else f"{done:,} of {total:,} keys"


def _live(lock: RunLock) -> str | None:
    """Return the live generation, or "nothing"; None if the store does not answer."""
    with suppress(RecoError), store_errors(lock.client):
        live = lock.client.get(lock.keys.current)
        return live.decode() if isinstance(live, bytes) else "nothing"
    return None


def _still_served(before: str | None, now: str | None) -> str:
    if now is not None:
        return f"Still served: {now}."
    if before is not None:
        return f"The store did not answer; probably still served: {before}."
    return "The live generation is not known: the store did not answer."


@contextmanager
def followed(settings: Settings, command: str) -> Iterator[Run]:
    """Run the block, then write the metrics file, the notification and the last log line.

    A run whose generation is live succeeds: an error after the switch becomes a warning.

    Raises:
        SystemExit: the run failed, and the JSON log has the error as its last line.
    """
    log = open_log(settings) if settings.log_format == "json" else None
    run = Run(settings, command, choose_reporter(quiet=settings.quiet, log=log))
    with Watch(lambda error: _end_at_once(run, error)) as watch:
        try:
            try:
                yield run
            finally:
                watch.ignore_signals()
        except BaseException as error:
            watch.ignore_signals()  # a signal may have interrupted the first call
            run.error = error
            if isinstance(error, InputRefused):
                run.gate = error.report
            run.failed(error)
            watch.stop_watching()
            if not run.is_live:
                _follow(run, exit_code_of(error), error)
                if isinstance(run.reporter, JsonReporter):
                    _end_in_json(run.reporter.log, error)
                raise
        else:
            watch.stop_watching()
        _end_well(run)


def _end_well(run: Run) -> None:
    """Save an embedded store, and report success."""
    run.save()
    _follow(run, 0, None)
    if isinstance(run.reporter, JsonReporter):
        run.reporter.log_event("ended", exit_code=0, seconds=run.seconds)


def _end_at_once(run: Run, error: BaseException) -> int:
    """Report the end of a run whose thread is still busy, and return the exit code."""
    error = run.error or error  # an error before the signal comes first
    run.reporter.cancel()
    run.reporter.stop()
    if run.lock is not None:
        run.lock.release()  # first: after this the run cannot change the live generation
    run.failed(error)
    if run.is_live:
        _end_well(run)
        return 0
    _report_in_thread(run, error)
    _follow(run, exit_code_of(error), error)
    return exit_code_of(error)


def _report_in_thread(run: Run, error: BaseException) -> None:
    """Write the last line of a run whose process ends before its error can propagate."""
    try:
        if isinstance(run.reporter, JsonReporter):
            _end_in_json(run.reporter.log, error)
        else:
            with guard():
                raise error  # noqa: TRY301  # for the guard to report
    except SystemExit:
        pass
    except Exception:  # noqa: BLE001  # a bug: print it as Python would
        traceback.print_exc()


@contextmanager
def ended_in_json(settings: Settings) -> Iterator[None]:
    """Run the block; with `--log-format json` report its error as a log line.

    Raises:
        SystemExit: the block failed, and the JSON log has the error as its last line.
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
        return interrupted(error)[0]
    return EXIT_BROKEN_PIPE if isinstance(error, BrokenPipeError) else 1


def _message_of(error: BaseException) -> str:
    """Return the error message with its notes on the live generation."""
    if isinstance(error, KeyboardInterrupt):
        return account_of_interrupt(error)
    return " ".join((reason_of(error), *getattr(error, "__notes__", ())))


def _follow(run: Run, exit_code: int, error: BaseException | None) -> None:
    """Write the metrics file and call the hook; neither changes the outcome."""
    settings, reporter = run.settings, run.reporter
    # A run that found another run in progress leaves the metrics file to that one.
    if settings.metrics_file is not None and not isinstance(error, LockHeld | Fenced):
        with errors_as_warnings(
            reporter, f"the metrics file {settings.metrics_file} is not written"
        ):
            try:
                write_metrics(settings.metrics_file, _figures(run, exit_code))
            except OSError as failure:
                reason = failure.strerror or failure  # the error's path is that of a temporary file
                reporter.warn(f"the metrics file {settings.metrics_file} is not written ({reason})")
    if error is None or _is_interactive(error):
        return
    with errors_as_warnings(reporter, "no notification was sent"):
        try:
            notify(settings.notify, _message(run, exit_code, error))
        except HookFailed as failure:
            reporter.warn(str(failure))


def _is_interactive(error: BaseException) -> bool:
    """Return whether a person ended the run, by Ctrl-C or by closing its output."""
    if isinstance(error, Terminated):
        return False
    return isinstance(error, KeyboardInterrupt | BrokenPipeError)


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
        "reason": hide(_message_of(error), secrets_of(run.settings)),
        "exit_code": exit_code,
        "generation": run.generation,
        "served": None if run.served is None else run.served.generation,
        "host": socket.gethostname(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _end_in_json(log: Log, error: BaseException) -> None:
    """Write the error as the last log line, and exit.

    Returns only after an exit that is no error, or if the output was closed.

    Raises:
        SystemExit: with the exit code of the error.
    """
    if isinstance(error, SystemExit | GeneratorExit | BrokenPipeError):
        return
    code = exit_code_of(error)
    facts: dict[str, object] = {"text": _message_of(error), "exit_code": code}
    if code == 1:
        facts["traceback"] = "".join(traceback.format_exception(error))
    log.error("error", kind=type(error).__name__, **facts)
    raise SystemExit(code) from error
