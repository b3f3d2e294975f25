"""Where a command reads from, and what the shared options come to."""

import pytest

from reco_cli.options import Told, Where


def test_the_password_is_in_no_repr():
    """The configuration may be logged: everything is there but the password."""
    shown = repr(Where("redis://reader:Hunter2@host:6379/1", "reco", "/somewhere"))
    assert "Hunter2" not in shown
    assert "redis://reader:***@host:6379/1" in shown
    assert "namespace='reco', home='/somewhere'" in shown
    assert "embedded" in repr(Where(None, "reco", None))
    assert "Hunter2" not in repr(Told(redis_url="redis://reader:Hunter2@host:6379/1"))


@pytest.mark.parametrize(
    ("said", "available"),
    [
        ({}, None),
        ({"available": True}, ""),
        ({"available_in": "de"}, "de"),
        ({"available": True, "available_in": "de"}, "de"),
    ],
)
def test_the_name_of_a_set_says_available_too(said, available):
    """None leaves out nothing, an empty name is the namespace's own set."""
    assert Told(**said).asked.available == available


def test_what_is_not_told_is_as_by_default():
    """Ten movies of the usual namespace, of any kind, from the embedded store."""
    told = Told()
    assert (told.asked.n, told.asked.namespace, told.asked.filtered) == (10, "reco", False)
    assert told.where == Where(None, "reco", None)
