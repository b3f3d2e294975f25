"""Errors of `batch`, as one tree.

RecoError                        (reco_store.errors: the base of both packages)
├── DataRefused                  4  the input is missing, damaged or implausible
├── NightFailed                  5  the run could not finish: disk full, damaged artifact
│   └── NotFinite                5  training diverged
├── GateRefused                  6  the new generation did not pass the quality gate
│   └── InputRefused             6  the input did not pass the gate; nothing was trained
└── AtWork                      75  another process is doing the same work

The number is the exit code of `batch`. A message is one line: what was found, what was expected and
the next step. `DataRefused` has these three as attributes; the attributes of the other classes are
those that their constructors take.
"""

import traceback
from pathlib import Path
from typing import Any

from reco_store.errors import RecoError
from reco_terminal.console import interrupted


class DataRefused(RecoError):
    """The input cannot be used; nothing was trained or published."""

    exit_code = 4

    def __init__(
        self,
        found: str,
        expected: str,
        remedy: str,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        """Create the error.

        Args:
            found: the problem, with the offending value.
            expected: a valid value or form.
            remedy: the next step, a sentence.
            file: name of the file, if the problem is in one.
            line: line of the file, the header being line 1.
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
    """The run could not finish; the live generation has not changed."""

    exit_code = 5


class NotFinite(NightFailed, ValueError):
    """A trained weight is infinite or not a number, so nothing can be scored with it."""


class GateRefused(RecoError):
    """The quality gate refused a staged generation."""

    exit_code = 6

    def __init__(self, generation: str, reason: str, account: str) -> None:
        """Create the error.

        Args:
            generation: the staged generation.
            reason: the failed checks, each with its value and its threshold.
            account: path of its report, or of its folder if there is no report.
        """
        super().__init__(generation, reason, account)
        self.generation = generation
        self.reason = reason
        self.account = account

    def __str__(self) -> str:
        return (
            f"the gate refused generation {self.generation}: {self.reason}. "
            f"See {self.account}; fix the input or the threshold (--gate-bound) and run again, or "
            f"serve it anyway with `batch republish {self.generation} --force REASON`."
        )


class InputRefused(GateRefused):
    """The quality gate refused the input, before anything was trained."""

    def __init__(self, reason: str, report: dict[str, Any]) -> None:
        """Create the error.

        Args:
            reason: the failed checks, each with its value and its threshold.
            report: every check of the input, in the form of a manifest.
        """
        super().__init__("", reason, "")
        self.args = (reason, report)  # so that it can be pickled
        self.report = report

    def __str__(self) -> str:
        return (
            f"the gate refused the input: {self.reason}. Nothing was trained; fix the input or "
            "the threshold (--gate-bound) and run again, or serve it anyway with "
            "`batch run --force REASON`."
        )


class AtWork(RecoError):
    """Another process is doing work that allows one process at a time."""

    exit_code = 75

    def __init__(self, what: str) -> None:
        """Create the error; `what` names the work."""
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is running in another process. Try again later."


def reason_of(error: BaseException) -> str:
    """Return the cause of an error in one line; for a bug, with its location."""
    if isinstance(error, KeyboardInterrupt):
        return interrupted(error)[1]
    if isinstance(error, RecoError):
        return str(error)
    if isinstance(error, OSError):
        return " ".join(str(part) for part in (error.filename, error.strerror or error) if part)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last)
    return f"{type(error).__name__}: {error}{where}"
