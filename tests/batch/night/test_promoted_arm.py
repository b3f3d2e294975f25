"""`batch experiment --promote`: the winner of an experiment serves all users of the namespace."""

import json
import shutil
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import pytest

from gated_nights import DAY, MOVIES, NEWEST, Nights, good_night
from planted_ratings import planted_ratings
from reco_batch.artifact.manifests import complete_generations
from reco_batch.night.run import end_night
from reco_batch.progress.reporter import PlainReporter
from reco_store import Keys, connect
from reco_store.contract.experiment import Experiment
from reco_store.control.experiments import begin_experiment, read_experiment
from reco_store.publishing.generations import rollback

ARMS = (("reco", 1.0), ("reco-b", 1.0))


@pytest.fixture(scope="module")
def good():
    """Return a run on planted ratings."""
    return good_night(planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25))


@pytest.fixture
def own(running, untrained, good, tmp_path):
    """Yield a function that calls `batch experiment`, with two live arms in one home."""
    with running() as url, connect(url) as client:
        made = {}
        for place, (namespace, _) in enumerate(ARMS):
            nights = Nights(url, namespace, tmp_path / "artifacts", good)
            nights.count = 10 * place
            for _ in range(2):
                night = nights.night()
                night.manifest["parameters"] |= {"namespace": namespace}
                nights.published(night)
            made[namespace] = night.generation
        begin_experiment(client, Keys("reco"), Experiment("stars", ARMS, NEWEST - DAY))

        def batch(*words):
            return untrained(*words, REDIS_URL=url, RECO_HOME=str(tmp_path))

        call = partial(batch, "experiment")
        call.batch = batch
        call.client, call.made, call.artifacts = client, made, tmp_path / "artifacts"
        yield call


def live(own, namespace="reco"):
    """Return the live generation of a namespace."""
    return own.client.get(Keys(namespace).current).decode()


def test_the_winner_serves_all_users(own):
    """Its generation is live in the namespace, judged by the gate; the experiment is over."""
    winner = own.made["reco-b"]

    ended = own("--promote", "reco-b")

    assert ended.code == 0, ended.err
    assert live(own) == live(own, "reco-b") == winner
    assert read_experiment(own.client, Keys("reco")) is None
    assert ended.out.split()[:2] == ["live", winner]
    assert "give the next run of reco the settings of reco-b" in ended.out
    gate = json.loads(own.client.get(Keys("reco").manifest(winner)))["gate"]
    assert gate["baseline"] == own.made["reco"]
    assert gate["forced"] == "promoted from reco-b after the experiment stars"


def test_the_next_runs_of_the_arm_do_not_delete_what_was_promoted(own, tmp_path):
    """It is an artifact of the arm, and no longer among the newest that the arm keeps."""
    winner, first = own.made["reco-b"], own.made["reco"]
    assert own("--promote", "reco-b").code == 0
    newer = "20300101T030000Z-7f3a"
    shutil.copytree(own.artifacts / winner, own.artifacts / newer)
    manifest = json.loads((own.artifacts / winner / "manifest.json").read_text("utf-8"))
    text = json.dumps(manifest | {"generation": newer})
    (own.artifacts / newer / "manifest.json").write_text(text, "utf-8")

    def delete_old():
        unfinished = tmp_path / "unfinished"
        config = SimpleNamespace(
            artifacts=own.artifacts, namespace="reco-b", keep=1, unfinished=unfinished
        )
        lock = SimpleNamespace(client=own.client, keys=Keys("reco-b"))
        published = SimpleNamespace(outcome="live", generation=newer, previous=winner)
        now = datetime(2030, 1, 2, tzinfo=UTC)
        artifact = SimpleNamespace(manifest=manifest)
        end_night(config, lock, artifact, published, now=now, reporter=PlainReporter())
        return complete_generations(own.artifacts)

    own.client.set(Keys("reco-b").current, newer)
    kept = delete_old()
    assert {winner, newer, first} <= {*kept}
    assert len(kept) == 4  # of `reco` both
    own.client.set(Keys("reco").current, first)
    assert winner not in delete_old()


def test_a_promoted_generation_is_restored_from_the_arms_artifact(own):
    """The store may lose everything, also that there was an experiment."""
    winner = own.made["reco-b"]
    file = own.artifacts / winner / "manifest.json"
    before = file.read_bytes()
    assert own("--promote", "reco-b").code == 0
    assert file.read_bytes() == before  # on record there is what happened in the arm
    for name in (winner, "latest"):
        own.client.flushall()
        ended = own.batch("republish", name)
        assert (ended.code, live(own)) == (0, winner), ended.err
    assert file.read_bytes() == before


def test_another_arms_generation_is_not_published_by_its_name(own):
    """It was not promoted; the error names the command that would serve it."""
    ended = own.batch("republish", own.made["reco-b"])

    assert (ended.code, live(own)) == (2, own.made["reco"])
    assert "Use --namespace reco-b, or" in ended.err
    assert "`batch experiment --promote reco-b`" in ended.err


def test_a_rollback_withdraws_a_promoted_generation_from_its_namespace_alone(own):
    """The arm's artifact stays good; the namespace does not get it back without a reason."""
    first, winner = own.made["reco"], own.made["reco-b"]
    assert own("--promote", "reco-b").code == 0
    assert own.batch("rollback").code == 0
    own.client.flushall()

    assert own.batch("republish", "latest").code == 0
    assert live(own) == first
    refused = own.batch("republish", winner)
    assert (refused.code, live(own)) == (2, first)
    assert "was withdrawn by a rollback" in refused.err
    assert own.batch("republish", "latest", "--namespace", "reco-b").code == 0
    assert live(own, "reco-b") == winner
    assert own.batch("republish", winner, "--force", "it was good").code == 0
    assert live(own) == winner
    own.client.flushall()
    assert own.batch("republish", "latest").code == 0
    assert live(own) == winner


def test_a_rollback_in_the_arm_withdraws_nothing_elsewhere(own):
    """The namespace to which it was promoted still serves it, and restores it."""
    winner = own.made["reco-b"]
    assert own("--promote", "reco-b").code == 0
    assert own.batch("rollback", "--namespace", "reco-b").code == 0
    own.client.flushall()

    assert own.batch("republish", "latest").code == 0
    assert live(own) == winner
    assert own.batch("republish", "latest", "--namespace", "reco-b").code == 0
    assert live(own, "reco-b") != winner


def test_the_first_arm_only_ends_the_experiment(own):
    """It is live already."""
    ended = own("--promote", "reco")

    assert (ended.code, live(own)) == (0, own.made["reco"])
    assert "reco serves all its users again" in ended.out
    assert read_experiment(own.client, Keys("reco")) is None


def test_what_cannot_be_promoted_changes_nothing(own):
    """Not an arm, nothing live there, or two wishes at once: the experiment goes on."""
    assert own("--promote", "reco-c").code == 2
    assert "expected one of NAME, --end, --verdict" in own("--promote", "reco-b", "--end").err
    own.client.delete(Keys("reco-b").current)
    ended = own("--promote", "reco-b")
    assert (ended.code, len(ended.lines)) == (2, 1)
    assert "nothing is live there" in ended.err
    assert live(own) == own.made["reco"]
    assert read_experiment(own.client, Keys("reco")).name == "stars"


def test_a_missing_artifact_changes_nothing(own):
    """The command names the folder; the experiment goes on."""
    (own.artifacts / own.made["reco-b"] / "manifest.json").unlink()

    ended = own("--promote", "reco-b")

    assert ended.code == 5
    assert f"{own.made['reco-b']} is not a complete artifact" in ended.err
    assert live(own) == own.made["reco"]
    assert read_experiment(own.client, Keys("reco")) is not None


def test_a_hold_keeps_the_experiment(own):
    """The generation waits in the store, and users stay in their arms."""
    rollback(own.client, Keys("reco"))
    before = live(own)

    ended = own("--promote", "reco-b")

    assert ended.code != 0
    assert live(own) == before
    assert read_experiment(own.client, Keys("reco")) is not None


def test_the_verdict_is_a_command(own):
    """Before the next run there is none; without an experiment, too."""
    ended = own("--verdict")
    assert (ended.code, "no verdict yet" in ended.out) == (0, True)
    assert own("--verdict", "--effect", "0").code == 2
    assert own("--end").code == 0
    assert own("--verdict").out == "no experiment\n"
