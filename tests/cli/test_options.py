"""Shared options of `reco`: the store to read, and the choice of movies."""

import pytest

from reco_cli.options import Options, Where


def test_no_repr_shows_the_password():
    """A repr, which may be logged, has everything but the password."""
    shown = repr(Where("redis://reader:Hunter2@host:6379/1", "reco", "/somewhere"))
    assert "Hunter2" not in shown
    assert "redis://reader:***@host:6379/1" in shown
    assert "namespace='reco', generation=None, home='/somewhere'" in shown
    assert "embedded" in repr(Where(None, "reco", None))
    assert "Hunter2" not in repr(Options(redis_url="redis://reader:Hunter2@host:6379/1"))


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
    """None leaves out nothing; an empty name is the namespace's own set."""
    assert Options(**options).list_options.available == available


def test_defaults():
    """Ten movies of any kind, from the namespace reco in the embedded store."""
    options = Options()
    assert (
        options.list_options.n,
        options.list_options.namespace,
        options.list_options.filtered,
    ) == (10, "reco", False)
    assert options.where == Where(None, "reco", None)
