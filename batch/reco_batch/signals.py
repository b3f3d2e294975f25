"""Ends from outside: SIGTERM of systemd, Kubernetes and Docker, SIGHUP of a lost terminal.

Both end a command as an interrupt does: by an exception in the main thread. Python raises it only
between two of its own steps, and a training may be in native code for minutes. So a thread waits
alongside a run (`Watch`), and ends the process itself if the run has not ended within seconds.
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
_HEARD: Final = (signal.SIGTERM, signal.SIGHUP)
_ENDING: Final = frozenset({*_HEARD, signal.SIGINT})


def hear() -> None:
    """Make both signals raise `Terminated`; one that was ignored before (`nohup`) stays ignored."""
    for number in _HEARD:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


@contextmanager
def kept() -> Iterator[None]:
    """Restore signal handlers that a library replaces in the block."""
    before = {number: signal.getsignal(number) for number in _HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:  # only the main thread could change it
                signal.signal(number, handler)


class Watch:
    """Ends the process where a run does not end by itself after a signal.

    Args:
        end_now: reports how the run ended, in a thread of its own, and returns the exit code.
        grace_seconds: how long the run may take to end by itself.
    """

    def __init__(
        self, end_now: Callable[[BaseException], int], *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._end_now = end_now
        self._grace_seconds = grace_seconds
        self._settled = threading.Event()
        self._ending = threading.Lock()
        self._pipe: tuple[int, int] | None = None
        self._before = -1
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # else no signal is heard at all
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            # Written by the handler in C, whatever the main thread is doing.
            self._before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._settled.set()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._before)
            os.close(self._pipe[1])
            self._thread.join()
            os.close(self._pipe[0])

    def hush(self) -> None:
        """Let no signal interrupt how the run ends, however often it comes.

        The thread stays: it ends the process if looking up the live generation takes too long.
        """
        if signal.getsignal(signal.SIGTERM) not in (_terminate, _ignore):
            return  # the handlers are those of another program
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _ignore)

    def settle(self) -> None:
        """Take over from the thread: the run has ended, and nothing may cut its reports short.

        A hook has a time limit of its own.
        """
        self.hush()
        self._settled.set()
        self._ending.acquire()  # held by the thread if it is about to end the process

    def _wait(self) -> None:
        """Wait for a signal, then for the run's end."""
        if self._pipe is None:
            return
        while heard := os.read(self._pipe[0], 1):
            if heard[0] in _ENDING:
                break
        if heard and not self._settled.wait(self._grace_seconds):
            self._end(signal.Signals(heard[0]))

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
    for heard in _HEARD:
        if signal.getsignal(heard) is _terminate:
            signal.signal(heard, _ignore)  # a second one must not cut short how the run ends
    raise Terminated(number)


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, not inherited by the programs that a hook starts."""
