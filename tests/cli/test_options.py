"""Where a command reads from."""

from reco_cli.options import Where


def test_the_password_is_in_no_repr():
    """The configuration may be logged: everything is there but the password."""
    shown = repr(Where("redis://reader:Hunter2@host:6379/1", "reco", "/somewhere"))
    assert "Hunter2" not in shown
    assert "redis://reader:***@host:6379/1" in shown
    assert "namespace='reco', home='/somewhere'" in shown
    assert "embedded" in repr(Where(None, "reco", None))
