"""Signals that end a run: SIGTERM of systemd, Kubernetes and Docker, SIGHUP of a lost terminal.

Both end a command as an interrupt does: with an exception in the main thread. Python raises it only
between two of its own steps, and training may be in native code for minutes. So a thread watches
a run (`Watch`), and ends the process itself if the run has not ended within seconds.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

from reco_terminal.console import Terminated

#: Docker kills after 10 seconds, Kubernetes after 30, systemd after 90.
GRACE_SECONDS: Final = 3.0
_HANDLED: Final = (signal.SIGTERM, signal.SIGHUP)
_ENDING: Final = frozenset({*_HANDLED, signal.SIGINT})


def handle_signals() -> None:
    """Make both signals raise `Terminated`; a signal ignored before (`nohup`) stays ignored."""
    for number in _HANDLED:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


@contextmanager
def kept() -> Iterator[None]:
    """Restore signal handlers that a library replaces in the block."""
    before = {number: signal.getsignal(number) for number in _HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:  # only the main thread could change it
                signal.signal(number, handler)


class Watch:
    """Thread that ends the process if a run does not end by itself after a signal.

    Args:
        end_now: reports the end of the run, in the watching thread, and returns the exit code.
        grace_seconds: time that the run may take to end by itself, in seconds.
    """

    def __init__(
        self, end_now: Callable[[BaseException], int], *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._end_now = end_now
        self._grace_seconds = grace_seconds
        self._run_ended = threading.Event()
        self._ending = threading.Lock()
        self._pipe: tuple[int, int] | None = None
        self._before = -1
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others receive no signals
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            # The C handler writes to it, even while the main thread is in native code.
            self._before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run_ended.set()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._before)
            os.close(self._pipe[1])
            self._thread.join()
            os.close(self._pipe[0])

    def ignore_signals(self) -> None:
        """Ignore further signals while the run ends.

        The thread keeps watching: it ends the process if reading the live generation takes long.
        """
        if signal.getsignal(signal.SIGTERM) not in (_terminate, _ignore):
            return  # the handlers are those of another program
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _ignore)

    def stop_watching(self) -> None:
        """Stop the thread from ending the process: the run has ended, and reports about it follow.

        A hook has its own time limit.
        """
        self.ignore_signals()
        self._run_ended.set()
        self._ending.acquire()  # held by the thread if it is about to end the process

    def _wait(self) -> None:
        """Wait for a signal, then for the end of the run."""
        if self._pipe is None:
            return
        while received := os.read(self._pipe[0], 1):
            if received[0] in _ENDING:
                break
        if received and not self._run_ended.wait(self._grace_seconds):
            self._end(signal.Signals(received[0]))

    def _end(self, number: signal.Signals) -> None:
        if not self._ending.acquire(blocking=False):
            return
        error = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
        code = 128 + number
        try:
            code = self._end_now(error)
        finally:
            os._exit(code)


def _terminate(number: int, _: FrameType | None) -> None:
    for handled in _HANDLED:
        if signal.getsignal(handled) is _terminate:
            signal.signal(handled, _ignore)  # a second one must not interrupt the end of the run
    raise Terminated(number)


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, not inherited by the programs that a hook starts."""
