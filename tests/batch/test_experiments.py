"""`batch experiment`: begin, show, end."""

import pytest

from reco_batch.experiments import change_experiment
from reco_store import Reader, UsageError


def test_begin_show_end(server, client, keys):
    """What is begun is shown, and holds for readers until it is ended."""
    assert change_experiment(client, keys, None, (), end=False) == "no experiment"
    said = change_experiment(client, keys, "stars", ["reco=30", "reco-b=10"], end=False)
    assert said.splitlines() == ["experiment stars", "reco\t75.0%", "reco-b\t25.0%"]
    assert change_experiment(client, keys, None, (), end=False) == said
    with Reader(server.url, keys.namespace) as reader:
        assert {reader.assign(str(user)) for user in range(50)} == {"reco", "reco-b"}
    assert change_experiment(client, keys, None, (), end=True) == "the experiment is over"
    assert change_experiment(client, keys, None, (), end=True) == "there was none"


@pytest.mark.parametrize(
    ("name", "arms", "end", "said"),
    [
        ("x", ["reco"], False, "expected NAMESPACE=SHARE"),
        ("x", ["reco=many", "b=1"], False, "expected NAMESPACE=SHARE"),
        ("x", ["reco=1"], False, "two namespaces or more"),
        ("x", [], True, "expected no name"),
    ],
)
def test_what_cannot_be(client, keys, name, arms, end, said):
    """The message says what is expected, and nothing is changed."""
    with pytest.raises(UsageError, match=said):
        change_experiment(client, keys, name, arms, end=end)
    assert client.get(keys.experiment) is None
