"""Shared options of `reco`: the store to read, and the options of listings."""

import pytest

from reco_cli.options import Told, Where


def test_the_password_is_in_no_repr():
    """A repr, which may be logged, has everything but the password."""
    shown = repr(Where("redis://reader:Hunter2@host:6379/1", "reco", "/somewhere"))
    assert "Hunter2" not in shown
    assert "redis://reader:***@host:6379/1" in shown
    assert "namespace='reco', home='/somewhere'" in shown
    assert "embedded" in repr(Where(None, "reco", None))
    assert "Hunter2" not in repr(Told(redis_url="redis://reader:Hunter2@host:6379/1"))


@pytest.mark.parametrize(
    ("options", "available"),
    [
        ({}, None),
        ({"available": True}, ""),
        ({"available_in": "de"}, "de"),
        ({"available": True, "available_in": "de"}, "de"),
    ],
)
def test_the_name_of_a_set_implies_available(options, available):
    """None filters nothing; an empty name is the namespace's own set."""
    assert Told(**options).list_options.available == available


def test_defaults():
    """Ten unfiltered movies of the default namespace, from the embedded store."""
    told = Told()
    assert (told.list_options.n, told.list_options.namespace, told.list_options.filtered) == (
        10,
        "reco",
        False,
    )
    assert told.where == Where(None, "reco", None)
