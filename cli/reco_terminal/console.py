"""Streams, errors and exit codes of both commands, and text that is safe on a terminal."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import unicodedata
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from reco_store.errors import RecoError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Terminated",
    "account_of_interrupt",
    "discard_output",
    "guard",
    "interrupted",
    "open_streams",
    "printable",
]

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_OUTPUT_LOST = 1

# Control, surrogate, line and paragraph separators, and invisible formatting: each can move the
# cursor, reverse a line or hide text.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ZERO_WIDTH_JOINER = "\u200d"  # joins the parts of an emoji, and does nothing else


def printable(text: str) -> str:
    r"""Return a text with unsafe characters escaped, such as ``\x1b``.

    Titles and ids come from data, so everything that is printed passes through here.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) for c in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES or character == _ZERO_WIDTH_JOINER:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def at_blanks(line: str, width: int) -> str:
    """Wrap a line at blanks only: a path or an id stays whole."""
    import textwrap  # noqa: PLC0415 - most commands end without an error

    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def _print_error(line: str) -> None:
    if sys.stderr.isatty():
        # A terminal whose size was never set has 0 columns.
        line = at_blanks(line, shutil.get_terminal_size(_size_of_stderr()).columns or 80)
    print(line, file=sys.stderr)  # noqa: T201


def _size_of_stderr() -> tuple[int, int]:
    """Return columns and lines of standard error, for when standard output is not a terminal."""
    with suppress(OSError):
        return os.get_terminal_size(sys.stderr.fileno())
    return 80, 24


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP was received."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code that a shell reports for a process ended by the signal."""
        return 128 + self.number

    def __str__(self) -> str:
        return signal.Signals(self.number).name


def interrupted(error: KeyboardInterrupt) -> tuple[int, str]:
    """Return the exit code of an interrupted command, and the cause as text."""
    if isinstance(error, Terminated):
        return error.exit_code, f"ended by {error}"
    return EXIT_INTERRUPTED, "interrupted"


def account_of_interrupt(error: KeyboardInterrupt) -> str:
    """Return a sentence with the cause of the interrupt, the next step and the live state."""
    notes = getattr(error, "__notes__", ("Readers see what they saw before.",))
    # A note that names a command is the next step.
    step = "" if any("`" in note for note in notes) else "; run it again"
    return " ".join((f"{interrupted(error)[1]}{step}.", *notes))


class _Output(io.FileIO):
    """Standard output that records a failure to write."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:  # noqa: ANN401  any buffer
        """Write."""
        try:
            return super().write(data) or 0
        except OSError as error:
            self.failure = error
            raise


class _Messages(io.FileIO):
    """Standard error whose writes never fail: a message must not change the exit code."""

    def write(self, data: Any) -> int:  # noqa: ANN401  any buffer
        """Write; report success even if that fails."""
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def open_streams() -> None:
    """Open all three standard files, with a standard error that never fails.

    If the parent process closed one of them, the next file or socket to be opened would get its
    number, and output would be written into that.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. Writing to standard output fails, so that a lost
            # result is an error.
            os.open(os.devnull, mode)
            os.set_inheritable(number, True)  # noqa: FBT003  its only form
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: io.TextIOBase | Any) -> io.TextIOWrapper:  # noqa: ANN401
    """Return a text stream like the previous one, which is None if its file was closed."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=getattr(before, "errors", None) or "backslashreplace",
        line_buffering=raw.fileno() == 2 or raw.isatty(),
    )


def discard_output() -> None:
    """Redirect a standard output that cannot be written to the null device."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def guard() -> Iterator[None]:
    """Turn an error of a command into an exit code.

    A RecoError becomes one line on stderr and its own exit code; an interrupt becomes 130, SIGTERM
    143, SIGHUP 129; a closed pipe (``| head``) 141, silently; any other failure to write the output
    one line and 1. Anything else is a bug, which keeps its traceback (exit code 1).

    Raises:
        SystemExit: for every error but a bug.
    """
    try:
        yield
        sys.stdout.flush()  # so that a closed pipe fails here, and not while Python shuts down
    except RecoError as error:
        text = " ".join((str(error), *getattr(error, "__notes__", ())))
        _print_error(f"error: {printable(text)}")
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        _print_error(f"error: {printable(account_of_interrupt(interrupt))}")
        raise SystemExit(interrupted(interrupt)[0]) from interrupt
    except BrokenPipeError as error:
        # Python flushes stdout once more at exit, which would print a warning.
        discard_output()
        raise SystemExit(EXIT_BROKEN_PIPE) from error
    except OSError as error:
        if not _is_output_lost(error):
            raise
        discard_output()
        reason = error.strerror or error
        _print_error(f"error: the output could not be written ({reason})")
        raise SystemExit(EXIT_OUTPUT_LOST) from error


def _is_output_lost(error: OSError) -> bool:
    """Return whether an error is the one raised by writing to standard output."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Output) and raw.failure is error
