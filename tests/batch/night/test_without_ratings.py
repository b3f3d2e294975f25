"""Implicit feedback: no rating model is trained, judged or published."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from csv_folders import csv_text, planted
from real_servers import running_server
from reco_store import Reader, connect
from resumed_nights import KEYS, KILLED, NAMESPACE, ResumedNights, answers, artifact

pytestmark = pytest.mark.slow  # two whole runs

RECO = Path(sys.executable).with_name("reco")
USERS, PRODUCTS = 60, 150
NOTE = (
    "note: 1,203 interactions, no rating column: ratings are not predicted; lists by predicted or "
    "mean rating are not published"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Folder of purchases with text ids, three of them repeated."""
    bought, catalogue = planted(USERS, PRODUCTS)
    rows = [(f"customer-{user}", f"sku/{item}", second) for user, item, _, second in bought]
    rows += [(user, item, second + 60) for user, item, second in rows[:3]]
    products = [(f"sku/{item}", title, genres) for item, title, genres in catalogue]
    folder = tmp_path_factory.mktemp("shop")
    (folder / "ratings.csv").write_text(csv_text(("userId", "movieId", "timestamp"), rows))
    (folder / "movies.csv").write_text(csv_text(("movieId", "title", "genres"), products))
    return folder


@pytest.fixture(scope="module")
def nights(shop):
    """Runs of the shop on a server of their own."""
    with running_server() as url:
        yield ResumedNights(shop, url)


@pytest.fixture(scope="module")
def home(nights, tmp_path_factory):
    """Home of a run that was killed during training, and resumed.

    A run before it is live, so that this one and later ones choose from the same values.
    """
    code, messages = nights.run(tmp_path_factory.mktemp("before"))
    assert code == 0, messages
    home = tmp_path_factory.mktemp("home")
    code, messages = nights.run(home, at=30)
    assert code == KILLED, messages
    code, messages = nights.run(home, "--resume")
    assert code == 0, messages
    nights.require_live(home)
    return home


@pytest.fixture(scope="module")
def manifest(home):
    """Manifest of its artifact."""
    return json.loads((artifact(home) / "manifest.json").read_text("utf-8"))


def test_log_and_manifest_contain_omitted_parts(home, manifest, nights, tmp_path):
    """Log and manifest contain it; an uninterrupted run has the same bytes."""
    code, messages = nights.run(tmp_path)

    assert code == 0, messages
    text = "\n".join(messages)
    assert NOTE in text
    assert "note: 3 interactions repeated a user and a movie: the latest of each was kept" in text
    assert "train retrieval" in text
    assert "rating model" not in text
    assert "train rating" not in text
    assert NOTE.removeprefix("note: ") in manifest["data"]["findings"]
    (lists, whole), (resumed_lists, resumed) = answers(tmp_path), answers(home)
    assert lists == resumed_lists
    for found in (whole, resumed):  # steps of the choice, in an order that begins with the live one
        del found["metrics"]["chosen"]["tried"]
    assert whole == resumed


def test_everything_but_stars_is_published(home, manifest, nights):
    """Ranked lists, the highest rated list and mean ratings are missing; all else exists."""
    prefix = KEYS.data_prefix(artifact(home).name)
    with connect(nights.url) as client:
        found = {key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")}
        card = json.loads(client.get(f"{prefix}movie:sku/1"))
    families = {name: sum(s.startswith(f"{name}:") for s in found) for name in manifest["counts"]}

    assert families == manifest["counts"]
    assert "ranked" not in families
    assert families["user"] == families["because"] == families["seen"] == USERS
    assert families["similar"] == families["next"] == families["movie"] == PRODUCTS
    popular = {suffix for suffix in found if suffix.startswith("popular:")}
    genres = {f"popular:most_rated:genre:{genre}" for genre in ("Comedy", "Drama", "War")}
    assert popular == {"popular:most_rated", *genres}
    assert card["m"] is None
    assert card["n"] > 0
    assert manifest["rating_scale"] is None
    assert not (artifact(home) / "models" / "explicit_model").exists()


def test_metrics_are_of_the_lists_only(manifest):
    """Their output contains the reason."""
    metrics = manifest["metrics"]

    assert metrics["rating"] == {}
    assert metrics["without_stars"] is True
    assert metrics["retrieval"]["ndcg@10"] > metrics["popularity"]["ndcg@10"]
    assert not {"means", "ranked", "rmse_by_ratings"} & set(metrics)
    assert "rmse" not in metrics["popularity"]


def test_gate_skips_checks_that_need_stars_with_the_reason(home, nights):
    """Ranked lists and the errors of stars are skipped, with the reason."""
    with connect(nights.url) as client:
        gate = json.loads(client.get(KEYS.manifest(artifact(home).name)))["gate"]

    reason = "the input has no ratings, so there are none"
    for name in ("rating.metrics", "ranked.full"):
        assert gate["checks"][name] == {"verdict": "skipped", "note": reason}
    assert gate["checks"]["ranked.lists"]["figure"] == 0
    assert not [name for name in gate["checks"] if name.startswith("rating.rmse")]


def test_the_newest_of_two_purchases_counts(home, nights):
    """One interaction, at the position of its latest in the history."""
    with Reader(nights.url, namespace=NAMESPACE) as reader:
        history = reader.seen("customer-1")

    assert len(set(history)) == len(history) == 20


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (
            ("get-ranked", "customer-1"),
            "user customer-1 has no ranked list; showing the most rated movies instead.",
        ),
        (
            ("get-popular", "--by", "highest-rated"),
            "the whole catalogue has no highest rated list; showing the most rated movies instead.",
        ),
    ],
)
def test_request_for_ranked_lists_returns_a_marked_fallback(home, nights, words, messages):
    """The most bought are returned, marked as a fallback."""
    ended = subprocess.run(
        [RECO, *words, "--redis-url", nights.url, "--namespace", NAMESPACE, "-n", "3"],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert messages in ended.stderr
    assert len(ended.stdout.splitlines()) == 3


def test_republish_needs_no_ranked_lists(home, untrained):
    """The complete artifact is published as it is."""
    with running_server() as url:
        ended = untrained(
            *(
                "republish",
                artifact(home).name,
                "--namespace",
                NAMESPACE,
                "--force",
                "so few users",
            ),
            REDIS_URL=url,
            RECO_HOME=str(home),
        )

        assert ended.code == 0, ended.err
        with Reader(url, namespace=NAMESPACE) as reader:
            assert reader.user("customer-1").items[0].source == "personal"


def test_a_shop_may_split_by_time(shop, accepted):
    """Purchases have a time; the note is that of the run."""
    messages = accepted("run", "--data", shop, "--split", "time")

    assert messages[0].endswith("1,200 ratings, 60 users, 150 movies")
    assert NOTE in messages


@pytest.mark.parametrize("model", ["rating", "both"])
def test_4_for_a_tuning_of_stars(shop, untrained, tmp_path, model):
    """The error names the option that works."""
    ended = untrained(
        "tune",
        "--data",
        shop,
        "--model",
        model,
        "--out",
        tmp_path / "x.json",
        RECO_HOME=str(tmp_path),
    )

    assert ended.code == 4
    assert ended.lines[-1] == (
        "error: the ratings have no rating column; expected one, to tune the rating model. "
        "Give --model retrieval."
    )
