"""What both commands share on a terminal: one line an error, and no surprises from data.

Knows nothing of commands, options or tables.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reco_store.errors import RecoError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["guard", "printable"]

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# Control, surrogate, line and paragraph separators, and invisible formatting: each can move the
# cursor, reverse a line or hide text.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ZERO_WIDTH_JOINER = "\u200d"  # holds an emoji family together, and does nothing else


def printable(text: str) -> str:
    r"""Return a text that cannot command a terminal: unsafe characters become ``\x1b`` and so on.

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
    """Break a line that is wider than the terminal, at blanks only: a path or an id stays whole."""
    import textwrap  # noqa: PLC0415 - most commands end without an error

    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def _print_error(line: str) -> None:
    if sys.stderr.isatty():
        line = at_blanks(line, shutil.get_terminal_size(_size_of_stderr()).columns)
    print(line, file=sys.stderr)  # noqa: T201


def _size_of_stderr() -> tuple[int, int]:
    """Return the columns and lines to take where standard output is no terminal."""
    with suppress(OSError):
        return os.get_terminal_size(sys.stderr.fileno())
    return 80, 24


@contextmanager
def guard() -> Iterator[None]:
    """Turn the end of a command into an exit code.

    A RecoError becomes one line on stderr and its own exit code; an interrupt 130; a closed
    pipe (``| head``) a quiet 141, as a signal would give. Anything else is a bug, and passes with
    its traceback (exit code 1).

    Raises:
        SystemExit: for each of these but the bug.
    """
    try:
        yield
        sys.stdout.flush()  # so that a closed pipe shows here, and not as Python shuts down
    except RecoError as error:
        text = " ".join((str(error), *getattr(error, "__notes__", ())))
        _print_error(f"error: {printable(text)}")
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        said = getattr(interrupt, "__notes__", ("Readers see what they saw before.",))
        _print_error(f"error: interrupted; run it again. {printable(' '.join(said))}")
        raise SystemExit(EXIT_INTERRUPTED) from interrupt
    except BrokenPipeError as error:
        # Python flushes stdout once more at exit, which would print a warning.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_BROKEN_PIPE) from error
