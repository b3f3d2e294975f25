"""Values chosen on the validation part, from one run to the next."""

import json

import pytest

from real_servers import running_server
from reco_batch.models.retrieval.choose import LADDER
from reco_batch.settings.hyperparameters import HybridParameters
from reco_batch.settings.search_space import values_of
from reco_store import connect
from resumed_nights import KEYS, ResumedNights

pytestmark = pytest.mark.slow

STEPS = 3  # of `killed_batch`
DEFAULTS = {name: values_of(HybridParameters())[name] for name in LADDER} | {"tower.steps": STEPS}


@pytest.fixture
def nights(small):
    """Nights for a server of their own."""
    with running_server() as url:
        yield ResumedNights(small, url)


@pytest.fixture
def run(nights, tmp_path):
    """Run on the planted data, and return the chosen values and what was tried."""

    def run(*words):
        code, lines = nights.run(tmp_path, *words)
        assert code == 0, lines
        chosen = live_manifest(nights.url)["metrics"]["chosen"]
        return chosen["retrieval"], chosen["tried"]

    return run


def manifest_key(client):
    """Return the key of the live manifest."""
    return KEYS.manifest(client.get(KEYS.current).decode())


def live_manifest(url):
    """Return the live manifest."""
    with connect(url) as client:
        return json.loads(client.get(manifest_key(client)))


def change_live_choice(url, chosen):
    """Replace the chosen values in the live manifest."""
    manifest = live_manifest(url)
    manifest["metrics"]["chosen"] = chosen
    with connect(url) as client:
        client.set(manifest_key(client), json.dumps(manifest))


def test_without_choosing_the_last_runs_values_stay(run, nights):
    """Also values that the data do not support; nothing is tried."""
    first, tried = run()
    others = {"neighbours.kind": "walk", "recency": 0.1, "recent_share": 0.3, "half_trust": 20.0}
    change_live_choice(nights.url, {"retrieval": first | others})

    found = run("--choose", "off")

    assert len(tried) > len(LADDER)
    assert first.keys() == LADDER.keys()
    assert found == (first | others, [])


def test_a_damaged_choice_is_not_used(run, nights):
    """An older version, unknown values, another type: the run starts from the defaults."""
    run("--choose", "off")

    for damaged in (
        {"recency": 0.25, "recency_validation_ndcg@10": {"0.25": 0.1}},
        {"retrieval": {"recency": "new", "neighbours.kind": "ease", "colour": [1]}},
        7,
    ):
        change_live_choice(nights.url, damaged)
        assert run("--choose", "off") == (DEFAULTS, [])
