"""`batch experiment`: start, show and end an experiment."""

import pytest

from reco_batch.commands.experiments import change_experiment
from reco_store import Keys, Reader, UsageError


@pytest.fixture
def arms(client, keys):
    """Return two namespaces with a live generation."""
    names = [keys.namespace, f"{keys.namespace}-b"]
    for name in names:
        client.set(Keys(name).current, "20261124T031502Z-7f3a")
    yield names
    client.delete(*(Keys(name).current for name in names))


def test_begin_show_end(server, client, keys, arms):
    """Readers assign users to the arms of an experiment until it is ended."""
    one, other = arms
    assert change_experiment(client, keys, None, (), end=False) == "no experiment"
    page = change_experiment(client, keys, "stars", [f"{one}=30", f"{other}=10"], end=False)
    assert page.splitlines() == ["experiment stars", f"{one}\t75.0%", f"{other}\t25.0%"]
    assert change_experiment(client, keys, None, (), end=False) == page
    with Reader(server.url, keys.namespace) as reader:
        assert {reader.assign(str(user)) for user in range(50)} == {one, other}
    assert change_experiment(client, keys, None, (), end=True) == "the experiment is over"
    assert change_experiment(client, keys, None, (), end=True) == "there was none"


def test_every_arm_must_be_live(client, keys, arms):
    """An experiment with an empty namespace is refused: its users would get no answer."""
    words = [f"{arms[0]}=1", f"{keys.namespace}-c=1"]
    with pytest.raises(UsageError, match=f"nothing is published under '{keys.namespace}-c'"):
        change_experiment(client, keys, "stars", words, end=False)
    assert client.get(keys.experiment) is None


@pytest.mark.parametrize(
    ("name", "arms", "end", "error"),
    [
        ("x", ["reco"], False, "expected NAMESPACE=SHARE"),
        ("x", ["reco=many", "b=1"], False, "expected NAMESPACE=SHARE"),
        ("x", ["reco=1"], False, "two namespaces or more"),
        ("x", [], True, "expected no name"),
    ],
)
def test_invalid_options(client, keys, name, arms, end, error):
    """The error names what was expected, and no experiment is stored."""
    with pytest.raises(UsageError, match=error):
        change_experiment(client, keys, name, arms, end=end)
    assert client.get(keys.experiment) is None
