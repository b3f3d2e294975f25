"""The errors of a night: their exit codes, their words, and that they can be sent to a process."""

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
    """Each has the documented code, on the class and on what is raised."""
    assert isinstance(error, RecoError)
    assert error.exit_code == type(error).exit_code == code


@pytest.mark.parametrize("error", [REFUSED, NightFailed("the disk is full"), WORSE])
def test_pickling_keeps_everything(error):
    """An error from another process says the same and has the same facts."""
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
def test_refusal_says_where_what_and_what_to_do(place, start):
    """Found, expected and the next step stand in one line, after the place if there is one."""
    text = str(DataRefused("rating 7 found", "0.5 to 5", "Correct it.", *place))

    assert text == f"{start} 0.5 to 5. Correct it."


def test_refusal_has_its_facts_as_attributes():
    """A program need not read the sentence."""
    assert (REFUSED.found, REFUSED.expected, REFUSED.remedy) == (
        "rating 7 found",
        "0.5 to 5",
        "Correct it.",
    )
    assert (REFUSED.file, REFUSED.line) == ("ratings.csv", 12)


def test_gate_refusal_says_what_failed_and_what_to_do():
    """The checks, where to look, and both ways on."""
    assert str(WORSE) == (
        "the gate refused generation 20261124T031502Z-7f3a: input.users 30 (at least 54). "
        "Look at /artifacts/x/report.html; mend the input or the bound (--gate-bound) and run "
        "again, or serve it all the same with `batch republish 20261124T031502Z-7f3a "
        "--force REASON`."
    )
    assert (WORSE.generation, WORSE.reason) == (
        "20261124T031502Z-7f3a",
        "input.users 30 (at least 54)",
    )


def test_training_that_diverged_is_a_failed_night():
    """Not a bug: one line and exit code 5; a ValueError still, as scoring's other refusals."""
    assert issubclass(NotFinite, ValueError)
    assert NotFinite.exit_code == 5
