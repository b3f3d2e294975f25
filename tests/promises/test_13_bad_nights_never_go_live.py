"""Promise 13: bad recommendations never go live, and the gate reports the reason.

A good generation is live. No mutant of it may move the pointer, and each refusal has its reason.
"""

import json

import pytest

from gated_nights import MOVIES, Nights, good_night
from mutants import (
    ON_THE_FIRST_NIGHT,
    SPOILT,
    SPOILT_INPUT,
    duplicates,
    infinite,
    infinite_scores,
    nan_scores,
    nan_users,
    one_nan,
    reversed_order,
)
from planted_ratings import planted_ratings
from real_servers import running_server
from reco_batch.artifact.check import summary
from reco_batch.artifact.folder import MANIFEST, Artifact
from reco_batch.data import columns as c
from reco_batch.errors import NotFinite
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import ContractMismatch, VerifyFailed, connect


@pytest.fixture(scope="module")
def server():
    """Yield a server for all tests here; each test uses its own namespace or changes nothing."""
    with running_server() as url:
        yield url


@pytest.fixture(scope="module")
def good():
    """Return a run of two hundred users with three tastes."""
    return good_night(planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25))


@pytest.fixture
def make_nights(server, tmp_path, good):
    """Return a factory of runs in a new namespace."""

    def make(namespace):
        return Nights(server, namespace, tmp_path, good)

    return make


@pytest.fixture(scope="module")
def nights(server, tmp_path_factory, good):
    """Yield a namespace with a good live generation that no test replaces."""
    nights = Nights(server, "mutants", tmp_path_factory.mktemp("nights"), good)
    assert nights.published(nights.night(nights.old)).outcome == "live"
    return nights


def require_refused(nights, night, check, served):
    """Publish, and expect the gate to name the check."""
    published = nights.published(night)

    assert published.outcome == "refused"
    assert nights.served() == served
    gate = nights.gate_of(night.generation)
    assert gate["verdict"] == "refused"
    assert gate["checks"][check]["verdict"] == "refused"
    assert any(line.startswith(f"{check} ") for line in gate["refused"])
    assert nights.record(night.generation).state == "refused"
    assert nights.record(night.generation).note == published.verdict.reason
    kept = json.loads((nights.folder / night.generation / MANIFEST).read_text("utf-8"))
    assert kept["gate"] == gate


@pytest.mark.parametrize("name", SPOILT)
def test_13_mutants_are_refused(nights, name):
    """The pointer stays; manifest, registry and artifact name the failed check."""
    spoil, check = SPOILT[name]
    night = nights.night()
    spoil(night)

    require_refused(nights, night, check, nights.served())


@pytest.mark.parametrize("name", SPOILT_INPUT)
def test_13_mutants_of_the_input_are_refused(nights, name):
    """A run computed correctly from bad input is refused."""
    spoil, check = SPOILT_INPUT[name]

    require_refused(nights, nights.night(spoil(nights.new)), check, nights.served())


def test_13_a_shrunk_catalogue_is_refused(nights):
    """A catalogue that lost movies and their ratings is refused."""
    left = nights.night().movies.ids[: MOVIES - 20]
    night = nights.night(nights.new[nights.new[c.MOVIE_ID].isin(left)], catalogue=len(left))

    require_refused(nights, night, "input.movies", nights.served())


@pytest.mark.parametrize("spoil", [nan_users, one_nan, infinite])
def test_13_factors_that_are_no_numbers_are_never_scored(nights, spoil):
    """Factors with NaN or infinity fail before lists are computed."""
    served = nights.served()

    with pytest.raises(NotFinite, match="training diverged"):
        spoil(nights.night())

    assert nights.served() == served


@pytest.mark.parametrize("spoil", [nan_scores, infinite_scores])
def test_13_scores_that_are_no_numbers_are_never_written(nights, spoil):
    """Scores with NaN or infinity fail before the artifact has a manifest."""
    served = nights.served()
    night = nights.night()
    spoil(night)

    with pytest.raises(ContractMismatch, match="a finite number"):
        nights.published(night)

    assert nights.served() == served


def test_13_an_artifact_that_was_changed_later_is_never_served(nights):
    """Read-back compares stored bytes with the computed digest and refuses a changed artifact."""
    served = nights.served()
    night = nights.night()
    artifact = night.write(nights.folder)
    night.generation, night.lists["user"] = night.generation[:-4] + "beef", night.lists["ranked"]
    other = night.write(nights.folder)
    changed = Artifact(
        other.folder,
        {**other.manifest, "generation": other.folder.name, "digest": artifact.manifest["digest"]},
    )

    with pytest.raises(VerifyFailed, match="differs from its digest"):
        nights.publish(changed)

    assert nights.served() == served


@pytest.mark.parametrize("name", ON_THE_FIRST_NIGHT)
def test_13_mutants_are_refused_on_the_first_night(make_nights, name):
    """Faults that need no comparison are refused on the first run, too."""
    nights = make_nights("first")
    spoil, check = SPOILT[name]
    night = nights.night()
    spoil(night)

    require_refused(nights, night, check, "nothing")


def test_13_good_nights_pass(make_nights):
    """First runs, repeated runs, growing or slightly shrinking data and other list lengths pass."""
    nights = make_nights("good")
    users = sorted(set(nights.new[c.USER_ID]))
    most = nights.new[nights.new[c.USER_ID].isin(users[:-5])]
    good = [
        nights.night(nights.old),
        nights.night(nights.old),
        nights.night(),
        nights.night(most),
        nights.night(nights.new.sample(frac=1, random_state=9)),
        nights.night(k=7),
    ]

    for night in good:
        published = nights.published(night)
        assert (published.outcome, published.verdict.reason) == ("live", "")
        assert nights.served() == night.generation

    first, same, *_ = (nights.folder / night.generation / MANIFEST for night in good)
    first, same = (json.loads(path.read_text("utf-8"))["gate"] for path in (first, same))
    assert first["baseline"] == "no baseline"
    assert first["checks"]["churn.user"] == {"verdict": "no baseline"}
    assert same["baseline"] == good[0].generation
    assert same["checks"]["input.identical"]["verdict"] == "noted"
    assert same["checks"]["churn.user"]["figure"] == 0
    assert "input.identical" not in first["checks"]


def test_13_worse_than_popularity_is_only_a_warning(make_nights):
    """Results below the popularity baseline are a warning; a threshold makes them a refusal."""
    nights = make_nights("warned")
    night = nights.night()
    night.manifest["parameters"]["preset"] = "notebook"  # in any other generation this is a failure
    popularity = night.manifest["metrics"]["popularity"]
    night.manifest["metrics"]["retrieval"] = {
        "top_10_accuracy": popularity["top_10_accuracy"] * 0.6
    }
    artifact = night.write(nights.folder)

    refused = nights.publish(artifact, bounds=GateBounds(popularity_ratio=1))
    passed = nights.publish(artifact)

    assert refused.outcome == "refused"
    assert refused.verdict.reason.startswith("popularity.top_10_accuracy 0.6 (at least 1; ")
    assert passed.outcome == "live"
    check = nights.gate_of(night.generation)["checks"]["popularity.top_10_accuracy"]
    assert (check["verdict"], check["figure"]) == ("warning", 0.6)


def test_13_force_serves_what_was_refused(make_nights):
    """A forced generation keeps the reason and the overruled checks in manifest and registry."""
    nights = make_nights("forced")
    nights.published(nights.night(nights.old))
    night = nights.night()
    duplicates(night)
    artifact = night.write(nights.folder)
    assert nights.publish(artifact).outcome == "refused"

    published = nights.publish(artifact, force="a test of the app")

    assert published.outcome == "live"
    assert nights.served() == night.generation
    gate = nights.gate_of(night.generation)
    assert (gate["verdict"], gate["forced"]) == ("forced", "a test of the app")
    assert gate["refused"] == ["user.duplicates 1 (at most 0)"]
    assert nights.record(night.generation).note == (
        "forced: a test of the app (user.duplicates 1 (at most 0))"
    )


def test_13_what_is_live_is_not_judged_again(make_nights):
    """Refilling the live generation keeps its verdict and reason, whatever the gate decides now."""
    nights = make_nights("refilled")
    night = nights.night()
    reversed_order(night)
    artifact = night.write(nights.folder)
    nights.publish(artifact, force="a test of the app")
    gate, note = nights.gate_of(night.generation), nights.record(night.generation).note

    published = nights.publish(artifact)

    assert published.outcome == "live"
    assert nights.gate_of(night.generation) == gate
    assert nights.record(night.generation).note == note


@pytest.mark.parametrize(
    "damaged",
    [None, b"", b"{", b"[]", b'{"schema":1}', b'{"schema":0}'],
    ids=["gone", "empty", "cut", "a list", "without fields", "older"],
)
def test_a_damaged_live_manifest_stops_no_night(make_nights, damaged):
    """A damaged live manifest is a warning and no baseline; live lists are still compared."""
    nights = make_nights("damaged")
    live = nights.published(nights.night(nights.old)).generation
    key = nights.keys.manifest(live)
    with connect(nights.url) as client:
        client.delete(key) if damaged is None else client.set(key, damaged)

    published = nights.published(nights.night())

    assert published.outcome == "live"
    gate = nights.gate_of(published.generation)
    assert gate["warnings"] == [
        "live.manifest (missing or damaged: input and metrics have no baseline)"
    ]
    assert gate["baseline"] == live
    assert gate["checks"]["input.users"]["verdict"] == "no baseline"
    assert gate["checks"]["churn.user"]["verdict"] == "passed"


def keys_of(nights, generation):
    """Return the names of a generation's data keys."""
    with connect(nights.url) as client:
        return sorted(client.scan_iter(f"{nights.keys.data_prefix(generation)}*", count=10_000))


@pytest.mark.parametrize("gone", ["lists", "lists and manifest", "all but the pointer"])
def test_lost_data_stop_no_night(make_nights, gone):
    """A live generation that lost all keys is no baseline: the next run repairs the store."""
    nights = make_nights(f"lost{len(gone)}")
    live = nights.published(nights.night(nights.old)).generation
    with connect(nights.url) as client:
        client.delete(*keys_of(nights, live))
        if gone != "lists":
            client.delete(nights.keys.manifest(live))
        if gone == "all but the pointer":
            client.delete(nights.keys.inventory(live, 0), nights.keys.generations)

    published = nights.published(nights.night())

    assert published.outcome == "live"
    gate = nights.gate_of(published.generation)
    assert gate["baseline"] == "no baseline"
    assert gate["warnings"][0] == (
        "live.data 1 (at most 0; the store lost keys of the live generation, so it is no baseline)"
    )
    assert gate["checks"]["known.users"] == {"verdict": "no baseline"}
    assert "the store lost what was served" in summary(gate)


def test_a_few_lost_keys_leave_the_baseline(make_nights):
    """A live generation that lost a few keys is still the baseline, with a warning."""
    nights = make_nights("few")
    live = nights.published(nights.night(nights.old)).generation
    with connect(nights.url) as client:
        client.delete(*keys_of(nights, live)[::40])

    published = nights.published(nights.night())

    gate = nights.gate_of(published.generation)
    assert gate["baseline"] == live
    assert any(line.startswith("live.data 0.0") for line in gate["warnings"])
    assert gate["checks"]["churn.user"]["verdict"] == "passed"


def test_other_users_are_refused_still(make_nights):
    """A generation of unknown users is refused if the live one is complete."""
    nights = make_nights("others")
    nights.published(nights.night(nights.old))

    published = nights.published(nights.night(rename_user=lambda user: f"x{user}"))

    assert published.outcome == "refused"
    assert "known.users" in published.verdict.reason


def test_a_live_manifest_of_other_shapes_stops_no_night(make_nights):
    """Fields of unexpected type in another version's live manifest count as missing."""
    nights = make_nights("shapes")
    live = nights.published(nights.night(nights.old)).generation
    key = nights.keys.manifest(live)
    with connect(nights.url) as client:
        manifest = json.loads(client.get(key))
        manifest |= {"metrics": 5, "data": [1], "parameters": "x", "gate": "y", "ids": "number"}
        client.set(key, json.dumps(manifest))

    assert nights.published(nights.night()).outcome == "live"


def test_a_live_manifest_of_a_newer_schema_stops_an_older_job(make_nights):
    """An older job does not replace a generation with a newer schema."""
    nights = make_nights("newer")
    live = nights.published(nights.night(nights.old)).generation
    with connect(nights.url) as client:
        client.set(nights.keys.manifest(live), b'{"schema":2}')

    with pytest.raises(ContractMismatch, match="key schema 2"):
        nights.published(nights.night())

    assert nights.served() == live
