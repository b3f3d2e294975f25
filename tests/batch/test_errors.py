"""Errors of `batch`: exit codes, messages, and pickling."""

import pickle

import pytest

from reco_batch.errors import DataRefused, GateRefused, NightFailed, NotFinite
from reco_store.errors import RecoError

WORSE = GateRefused(
    "20261124T031502Z-7f3a", "input.users 30 (at least 54)", "/artifacts/x/report.html"
)
REFUSED = DataRefused("rating 7 found", "0.5 to 5", "Correct it.", "ratings.csv", 12)


@pytest.mark.parametrize(
    ("error", "code"),
    [(REFUSED, 4), (NightFailed("the disk is full"), 5), (WORSE, 6)],
)
def test_exit_codes(error, code):
    """Each has the documented code, on the class and on the instance."""
    assert isinstance(error, RecoError)
    assert error.exit_code == type(error).exit_code == code


@pytest.mark.parametrize("error", [REFUSED, NightFailed("the disk is full"), WORSE])
def test_pickling_keeps_everything(error):
    """An error from another process has the same message and attributes."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("place", "start"),
    [
        ((), "rating 7 found; expected"),
        (("ratings.csv",), "ratings.csv: rating 7 found; expected"),
        (("ratings.csv", 12), "ratings.csv, line 12: rating 7 found; expected"),
    ],
)
def test_a_refusal_has_location_cause_and_next_step(place, start):
    """Location, value found, value expected and the next step are one line."""
    text = str(DataRefused("rating 7 found", "0.5 to 5", "Correct it.", *place))

    assert text == f"{start} 0.5 to 5. Correct it."


def test_a_refusal_has_attributes():
    """A program can read attributes instead of the sentence."""
    assert (REFUSED.found, REFUSED.expected, REFUSED.remedy) == (
        "rating 7 found",
        "0.5 to 5",
        "Correct it.",
    )
    assert (REFUSED.file, REFUSED.line) == ("ratings.csv", 12)


def test_a_gate_refusal_has_checks_and_next_steps():
    """The checks, the path of the report, and both next steps."""
    assert str(WORSE) == (
        "the gate refused generation 20261124T031502Z-7f3a: input.users 30 (at least 54). "
        "See /artifacts/x/report.html; fix the input or the threshold (--gate-bound) and run "
        "again, or serve it anyway with `batch republish 20261124T031502Z-7f3a "
        "--force REASON`."
    )
    assert (WORSE.generation, WORSE.reason) == (
        "20261124T031502Z-7f3a",
        "input.users 30 (at least 54)",
    )


def test_diverged_training_is_a_failed_run():
    """Diverged training is not a bug: one line and exit code 5; it is also a ValueError."""
    assert issubclass(NotFinite, ValueError)
    assert NotFinite.exit_code == 5
