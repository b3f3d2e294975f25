"""What can go wrong in a night, as one tree.

RecoError                        (reco_store.errors: the base of both packages)
├── DataRefused                  4  the input is missing, damaged or implausible
├── NightFailed                  5  this machine could not finish: disk full, damaged artifact
│   ├── NotFinite                5  training diverged
│   └── ProcessLost              5  one of the processes that trained together
├── GateRefused                  6  the new generation is not good enough to be served
│   └── InputRefused             6  the input cannot make a generation good enough to be served
└── AtWork                      75  another process is at work on the same

The number is the exit code of `batch`. Every message says what was found, what was expected
and what to do next, in one line; the facts stand as attributes too.
"""

import traceback
from pathlib import Path
from typing import Any

from reco_store.errors import RecoError
from reco_terminal.console import interrupted


class DataRefused(RecoError):
    """The input cannot be used as it is; nothing was trained and nothing published."""

    exit_code = 4

    def __init__(
        self,
        found: str,
        expected: str,
        remedy: str,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        """Keep the facts.

        Args:
            found: what is wrong, with the offending value.
            expected: what would have been right.
            remedy: what to do next, a sentence.
            file: the file's name, where there is one.
            line: 1-based line of the file, the header being line 1.
        """
        super().__init__(found, expected, remedy, file, line)  # in .args, so it can be pickled
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where += f", line {self.line}"
        prefix = f"{where}: " if where else ""
        return f"{prefix}{self.found}; expected {self.expected}. {self.remedy}"


class NightFailed(RecoError):
    """This machine could not finish the night; what is served has not changed."""

    exit_code = 5


class NotFinite(NightFailed, ValueError):
    """A trained weight is infinite or no number, so nothing can be scored with it."""


class ProcessLost(NightFailed):
    """Of the processes that trained together one was lost; the others cannot go on without it."""

    def __init__(self, reason: str) -> None:
        """Say how it was noticed.

        Args:
            reason: what TensorFlow said.
        """
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"a process of the training was lost ({self.reason}). Start all of them again: they go "
            "on after the last checkpoint."
        )


class GateRefused(RecoError):
    """The new generation was staged and found not fit to be served."""

    exit_code = 6

    def __init__(self, generation: str, reason: str, account: str) -> None:
        """Say what was refused.

        Args:
            generation: what was staged.
            reason: the failed checks, each with its figure and its bound.
            account: path of its report, or of the folder where there is none, to be looked at.
        """
        super().__init__(generation, reason, account)
        self.generation = generation
        self.reason = reason
        self.account = account

    def __str__(self) -> str:
        return (
            f"the gate refused generation {self.generation}: {self.reason}. "
            f"Look at {self.account}; mend the input or the bound (--gate-bound) and run again, or "
            f"serve it all the same with `batch republish {self.generation} --force REASON`."
        )


class InputRefused(GateRefused):
    """The gate refused the input, before anything was trained."""

    def __init__(self, reason: str, report: dict[str, Any]) -> None:
        """Keep the verdict.

        Args:
            reason: the failed checks, each with its figure and its bound.
            report: every check of the input, as a manifest has it.
        """
        super().__init__("", reason, "")
        self.args = (reason, report)  # so that it can be pickled
        self.report = report

    def __str__(self) -> str:
        return (
            f"the gate refused the input: {self.reason}. Nothing was trained; mend the input or "
            "the bound (--gate-bound) and run again, or serve it all the same with "
            "`batch run --force REASON`."
        )


class AtWork(RecoError):
    """Another process is at work on what only one can work on at a time."""

    exit_code = 75

    def __init__(self, what: str) -> None:
        """Say what is taken."""
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is at work in another process; expected none. Try again when it ended."


def reason_of(error: BaseException) -> str:
    """Return why something failed, in one line; of a bug also where, since no traceback follows."""
    if isinstance(error, KeyboardInterrupt):
        return interrupted(error)[1]
    if isinstance(error, RecoError):
        return str(error)
    if isinstance(error, OSError):
        return " ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    return f"{type(error).__name__}: {error}{where}"
