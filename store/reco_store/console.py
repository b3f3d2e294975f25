"""What both commands share on a terminal: one line an error, and no surprises from data.

Knows nothing of commands, options or tables.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import contextmanager
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
        print(f"error: {printable(text)}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        said = getattr(interrupt, "__notes__", ("Readers see what they saw before.",))
        print(f"error: interrupted; run it again. {printable(' '.join(said))}", file=sys.stderr)  # noqa: T201
        raise SystemExit(EXIT_INTERRUPTED) from interrupt
    except BrokenPipeError as error:
        # Python flushes stdout once more at exit, which would print a warning.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_BROKEN_PIPE) from error
