"""The errors of a night: their exit codes, their words, and that they can be sent to a process."""

import pickle

import pytest

from reco_batch.errors import DataRefused, GateRefused, NightFailed
from reco_store.errors import RecoError

REFUSED = DataRefused("rating 7 found", "0.5 to 5", "Correct it.", "ratings.csv", 12)


@pytest.mark.parametrize(
    ("error", "code"),
    [(REFUSED, 4), (NightFailed("the disk is full"), 5), (GateRefused("worse"), 6)],
)
def test_exit_codes(error, code):
    """Each has the documented code, on the class and on what is raised."""
    assert isinstance(error, RecoError)
    assert error.exit_code == type(error).exit_code == code


@pytest.mark.parametrize("error", [REFUSED, NightFailed("the disk is full"), GateRefused("worse")])
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
