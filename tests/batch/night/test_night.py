"""Runs from end to end: real processes, the embedded store, and readers.

Four nights follow each other in one home, each of other data or with other options. Everything
that an operator does later works on copies of their artifacts, so it trains nothing.
"""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from reco_batch.models.retrieval.choose import LADDER
from reco_batch.night.run import metrics_before
from reco_batch.night.train_and_refit import CHOOSE
from reco_store import Keys, Reader, connect, new_generation_id
from reco_store.connection.embedded.server import server_pid, stop_server
from reco_store.contract.codec import decode_ids, decode_list, decode_reasons
from reco_store.contract.keys import title_suffixes
from schemas import validate, validator

# Whole runs with the presets as they are; test_resume and others have small ones.
pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
KEYS = Keys("reco")
FORCE = ("--force", "other data on purpose")
STAGE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (\S.*?) +\d+\.\d s(  .*)?")

USERS = ("9f1c2b7e-0000-4000-8000-00000000000a", "a:{b} *", "*", " x", "{reco}:current", "1")
USERS += ("user:1", "日本", "[UNK]", "-1", "01", "%s")
TITLES = {
    "9f1c2b7e-0000-4000-8000-00000000000b": "Com,ma, The (1999)",
    "a:{b} *": '"Quoted" (2000)',
    "*": "Two\nlines (2001)",
    "genre:Drama": "🎬 Émoji ❤️ (2002)",
    "1": "(1995)",
    "movie:1": "100 %s",
    "[UNK]": "[bold]x[/bold]",
    "{reco}": "O'Neil\\",
    "日本": "千と千尋の神隠し (2001)",
}


@dataclass(frozen=True)
class Night:
    """Finished run, and the content of the store at its end."""

    ended: object
    generation: str
    manifest: dict
    content: dict[str, bytes]  # by suffix

    def list_of(self, family, name):
        """Return the ids of one list."""
        ids, scores = decode_list(self.content[f"{family}:{name}"])
        assert len(ids) == len(scores)
        if family == "ranked":  # by the lower bound, within three decimals
            counts = [json.loads(self.content[f"movie:{movie}"])["n"] for movie in ids]
            order = [star - 2 / math.sqrt(n + 1) for star, n in zip(scores, counts, strict=True)]
            assert all(a > b - 0.0011 for a, b in itertools.pairwise(order))
        else:
            assert scores == sorted(scores, reverse=True)
        return ids

    def seen(self, user):
        """Return the ids of the movies that a user rated."""
        return decode_ids(self.content[f"seen:{user}"])

    def require_sound(self, users, movies, *, reasons=True):
        """Every user and movie has its keys; no list contains an excluded movie."""
        for user in map(str, users):
            seen = self.seen(user)
            for family in ("user", "ranked"):
                shown = self.list_of(family, user)
                assert len(set(shown)) == len(shown)
                assert not set(shown) & set(seen)
            if reasons:
                messages = decode_reasons(self.content[f"because:{user}"])
                assert len(messages) == len(self.list_of("user", user))
                assert set(messages) - {None} <= set(seen)
        for movie in map(str, movies):
            for family in ("similar", "next"):
                shown = self.list_of(family, movie)
                assert len(set(shown)) == len(shown)
                assert movie not in shown
            assert json.loads(self.content[f"movie:{movie}"])["t"]
        families = Counter(suffix.partition(":")[0] for suffix in self.content)
        assert self.manifest["counts"] == families
        assert self.manifest["entries"] == len(self.content)
        assert self.manifest["bytes"] == sum(map(len, self.content.values()))
        assert families["because"] == (len(users) if reasons else 0)
        assert families["user"] == families["ranked"] == families["seen"] == len(users)
        assert families["movie"] == families["similar"] == families["next"] == len(movies)


def live(client):
    """Return the generation that readers see."""
    return client.get(KEYS.current).decode()


def suffixes_of(client, generation):
    """Return the content of a generation in the store, by suffix."""
    prefix = KEYS.data_prefix(generation)
    keys = list(client.scan_iter(match=f"{prefix}*", count=5000))
    values = client.mget(keys) if keys else []
    return dict(zip((key.decode().removeprefix(prefix) for key in keys), values, strict=True))


def refused_artifacts(home):
    """Return the artifacts that the gate refused, by name."""
    manifests = {
        path.parent.name: json.loads(path.read_text("utf-8"))
        for path in home.glob("artifacts/*/manifest.json")
    }
    return {
        name: manifest
        for name, manifest in manifests.items()
        if (manifest.get("gate") or {}).get("verdict") == "refused"
    }


def recorded(ended, at_home):
    """Read the store after a run."""
    assert ended.code == 0, ended.err
    with connect(None, home=Path(at_home["RECO_HOME"])) as client:
        generation = live(client)
        manifest = json.loads(client.get(KEYS.manifest(generation)))
        return Night(ended, generation, manifest, suffixes_of(client, generation))


@pytest.fixture(scope="session")
def at_home(tmp_path_factory):
    """Environment of the runs: a home of their own, with the embedded store in it."""
    home = tmp_path_factory.mktemp("nights")
    yield {"REDIS_URL": "", "RECO_HOME": str(home)}
    stop_server(home)


@pytest.fixture(scope="session")
def first(batch, small, at_home):
    """First run: planted data, default options, output to a pipe."""
    return recorded(batch("run", "--data", small, **at_home), at_home)


@pytest.fixture(scope="session")
def second(first, on_terminal, small, at_home):
    """A second run on a terminal, with options of lengths, split and refit."""
    lengths = ("-k", 7, "--ranked-k", "all", "--popular-n", 3)
    words = ("run", "--data", small, "--no-refit", "--split", "time", *lengths)
    return recorded(on_terminal(*words, **at_home), at_home)


@pytest.fixture(scope="session")
def strange(write, tmp_path_factory):
    """A folder of unusual ids and titles, with BOM and CRLF."""
    ratings = [
        (user, movie, 1 + i * j % 5, 1_500_000_000 + i + j)
        for i, user in enumerate(USERS)
        for j, movie in enumerate(TITLES)
        if (i + j) % 3
    ]
    ratings.append(("once", "*", 4, 1_500_000_000))
    movies = [(movie, title, "Drama|Sci-Fi") for movie, title in TITLES.items()]
    folder = write(tmp_path_factory.mktemp("strange"), ratings, movies)
    for file in folder.iterdir():
        text = file.read_text("utf-8").replace("\n", "\r\n").replace("Two\r\nlines", "Two\nlines")
        file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    return folder


@pytest.fixture(scope="session")
def turned_away(second, strange, batch, at_home):
    """Third run: unusual data, with other users than the run before.

    It has a Prometheus file, and a hook that saves its input.
    """
    home = at_home["RECO_HOME"]
    watched = {
        "RECO_METRICS_FILE": f"{home}/reco.prom",
        "RECO_NOTIFY_COMMAND": f"cp /dev/stdin {home}/told.json",
    }
    bounds = ("--gate-bound", "shrink=1", "--gate-bound", "days_behind=9999")
    return batch("run", "--data", strange, "--no-refit", *bounds, **at_home, **watched)


@pytest.fixture(scope="session")
def third(turned_away, strange, batch, at_home):
    """Fourth run: unusual data, quiet, one training at a time, with the gate overruled."""
    words = ("run", "--data", strange, "--no-refit", "--quiet", "--trainings", 1)
    words = (*words, "--force", "strange on purpose")
    return recorded(batch(*words, **at_home), at_home)


@pytest.fixture(scope="session")
def fourth(third, batch, write, tmp_path_factory, at_home):
    """One user, one movie, one rating: nothing to hold out, nothing to recommend.

    Also in the folder of artifacts: what killed runs left, long ago and just now, and an
    artifact of another namespace.
    """
    artifacts = Path(at_home["RECO_HOME"], "artifacts")
    for name in ("20200101T000000Z-dead", new_generation_id(datetime.now(UTC), "dead")):
        (artifacts / name / "lists").mkdir(parents=True)
    os.utime(artifacts / "20200101T000000Z-dead", (0, 0))
    other = artifacts / "20200102T000000Z-beef"
    other.mkdir()
    (other / "manifest.json").write_text('{"parameters": {"namespace": "other"}}')
    folder = write(tmp_path_factory.mktemp("one"), [(1, 1, 4, 0)], [(1, "Only (1995)", "Drama")])
    words = ("run", "--data", folder, "--no-refit", "--no-because")
    words = (*words, "--force", "nothing on purpose")
    return recorded(batch(*words, **at_home), at_home)


@pytest.fixture(scope="session")
def nights(first, second, third, fourth):
    """All runs."""
    return first, second, third, fourth


def test_every_user_and_movie_has_its_answers(first):
    """Lists for all users, of the configured lengths, and a valid manifest."""
    first.require_sound(range(1, 61), range(1, 151))

    assert {len(first.list_of("user", user)) for user in range(1, 61)} == {100}
    assert {len(first.list_of("ranked", user)) for user in range(1, 61)} == {130}
    assert {len(first.list_of("similar", movie)) for movie in range(1, 151)} == {100}


def test_everything_published_is_valid(first, third):
    """Every value and the manifest match the contract's schemas, whatever the ids are."""
    for night in (first, third):
        for suffix, value in night.content.items():
            validate(suffix, value)
        validator("manifest.json").validate(night.manifest)


def test_no_explanation_is_a_disliked_movie(first, small):
    """Most movies of a list have an explanation, which the user rated above the mean."""
    stars = defaultdict(dict)
    for line in (small / "ratings.csv").read_text().splitlines()[1:]:
        user, movie, rating, _ = line.split(",")
        stars[user][movie] = float(rating)
    known = 0
    for user, rated in stars.items():
        reasons = decode_reasons(first.content[f"because:{user}"])
        known += len(reasons) - reasons.count(None)
        mean = sum(rated.values()) / len(rated)
        assert all(rated[reason] >= mean for reason in reasons if reason is not None)
    assert known > 0.7 * 100 * len(stars)


def test_seen_contains_the_rated_movies_newest_first(first, small):
    """The movies of the ratings file."""
    rows = [line.split(",") for line in (small / "ratings.csv").read_text().splitlines()[1:]]
    mine = sorted((row for row in rows if row[0] == "42"), key=lambda row: -int(row[3]))

    assert first.seen("42") == [row[1] for row in mine]


def test_ranked_lists_are_in_stars(first):
    """Predicted ratings are within the rating scale."""
    scores = [
        score for user in range(1, 61) for score in decode_list(first.content[f"ranked:{user}"])[1]
    ]

    assert min(scores) >= 0.5
    assert max(scores) <= 5


def test_the_manifest_describes_the_run(first):
    """Data, parameters and metrics are equal in the store and in the artifact."""
    data, parameters = first.manifest["data"], first.manifest["parameters"]

    assert (data["users"], data["movies"], data["ratings"]) == (60, 150, 1200)
    assert (data["train"], data["validation"], data["test"]) == (864, 96, 240)
    assert set(data["sha256"]) == {"ratings.csv", "movies.csv"}
    assert (parameters["preset"], parameters["seed"], parameters["refit"]) == ("default", 42, True)
    metrics = first.manifest["metrics"]
    assert {"top_10_accuracy", "ndcg@10", "recall@100"} <= metrics["retrieval"].keys()
    assert metrics["retrieval"].keys() <= metrics["popularity"].keys()
    assert 0 < metrics["rating"]["rmse"] < 5
    chosen = metrics["chosen"]["retrieval"]
    assert chosen.keys() == LADDER.keys()
    assert chosen["recency"] in LADDER["recency"]
    assert len(metrics["chosen"]["tried"]) > len(LADDER)
    by_size = metrics["chosen"]["by_size"]
    assert by_size.keys() == {"measured", "published"}
    assert by_size["published"]["retrieval"]["batch"] == 128
    assert by_size["published"]["rating"]["window"] == 40
    assert metrics["chosen"]["budgets"] == []
    assert first.manifest["ids"] == "integer"


def test_split_and_metrics_of_users_are_kept(first, at_home):
    """Sizes of the parts and means of the metrics match the manifest."""
    folder = Path(at_home["RECO_HOME"], "artifacts", first.generation, "evaluation")
    data, metrics = first.manifest["data"], first.manifest["metrics"]

    split = pd.read_parquet(folder / "split.parquet")
    assert split["part"].value_counts().to_dict() == {
        part: data[part] for part in ("train", "validation", "test")
    }
    assert {path.stem for path in folder.iterdir()} == {
        *("split", "retrieval", "popularity", "ranked", "rating"),
        *("popularity_7d", "popularity_30d"),
    }
    for group in ("retrieval", "popularity", "popularity_7d", "popularity_30d", "ranked"):
        users = pd.read_parquet(folder / f"{group}.parquet")
        assert len(users) == data["test_users"]
        assert users["heldOut"].sum() == data["test"]
        for name in ("ndcg@10", "recall@100", "liked_ndcg@10"):
            assert users[name].mean() == pytest.approx(metrics[group][name])


def test_the_result_is_on_stdout(first, at_home):
    """A summary: outcome, metrics, store, path of the report, and commands to try next."""
    lines = first.ended.out.splitlines()
    metrics = first.manifest["metrics"]

    assert re.fullmatch(
        rf"live        {first.generation}   60 users, 150 movies, "
        rf"{first.manifest['entries']:,} keys \(.+ MB\), .+ s",
        lines[0],
    )
    assert lines[1].startswith(
        f"quality     NDCG@10 {metrics['retrieval']['ndcg@10']:.3f} "
        f"(most popular {metrics['popularity']['ndcg@10']:.3f})   Recall@100 "
    )
    assert "   RMSE " in lines[1]
    assert f"store       embedded in {at_home['RECO_HOME']}/store" in lines
    assert f"report      {at_home['RECO_HOME']}/artifacts/{first.generation}/report.html" in lines
    assert lines[-4] == "try next"
    assert lines[-3:] == [
        f"  {BIN}/reco get-user 42",
        f"  {BIN}/reco get-popular --by highest-rated -n 5",
        f"  {BIN}/reco status",
    ]


def test_the_first_night_has_no_baseline(first):
    """Standard output and manifest report it; the lists are judged all the same."""
    gate = first.manifest["gate"]

    assert (gate["verdict"], gate["baseline"], gate["refused"]) == ("passed", "no baseline", [])
    assert gate["checks"]["churn.user"] == {"verdict": "no baseline"}
    assert gate["checks"]["user.seen"] == {"verdict": "passed", "figure": 0, "at_most": 0}
    (line,) = (line for line in first.ended.out.splitlines() if line.startswith("gate "))
    assert re.fullmatch(
        r"gate        passed: \d+ checks, 0 warnings, no baseline: nothing was live before", line
    )


def test_the_second_night_is_compared_with_the_first(first, second):
    """The checks cover lists, histories and input."""
    gate = second.manifest["gate"]

    assert (gate["verdict"], gate["baseline"]) == ("passed", first.generation)
    assert gate["checks"]["known.history"]["figure"] == 1
    assert 0 < gate["checks"]["churn.user"]["figure"] < 0.8
    assert gate["checks"]["input.identical"]["verdict"] == "noted"
    assert gate["checks"]["retrieval.top_10_accuracy"]["verdict"] == "skipped"  # another split


def test_6_when_the_gate_refuses_the_night(turned_away, second, third, untrained, at_home):
    """One line has check, figure, live generation and next step; the artifact stays."""
    ((refused, manifest),) = refused_artifacts(Path(at_home["RECO_HOME"])).items()

    assert turned_away.code == 6
    *stages, error = turned_away.lines
    assert all(STAGE.fullmatch(line) or " note: " in line for line in stages)
    assert error.startswith(f"error: the gate refused generation {refused}: ")
    assert "known.users 0.07692 (at least 0.5)" in error
    assert f"See {at_home['RECO_HOME']}/artifacts/{refused}/report.html; " in error
    assert f"`batch republish {refused} --force REASON`" in error
    assert error.endswith(f" Still served: {second.generation}.")
    assert manifest["gate"]["baseline"] == second.generation
    assert manifest["gate"]["checks"]["known.users"]["verdict"] == "refused"
    # The next night deleted it; why it was refused stays on record.
    (row,) = (r for r in untrained("generations", **at_home).out.splitlines() if refused in r)
    assert row.startswith(f"{refused}\trefused\t0\t0.0\t")
    assert "known.users 0.07692 (at least 0.5)" in row


def test_6_when_the_input_is_refused_before_anything_is_trained(later, second, strange, tmp_path):
    """Checks of the input come before TensorFlow, and nothing is staged."""
    hooked, prom = tmp_path / "told.json", tmp_path / "reco.prom"
    assert later("republish", second.generation).code == 0
    watched = {"RECO_METRICS_FILE": str(prom), "RECO_NOTIFY_COMMAND": f"cp /dev/stdin {hooked}"}

    def generations():
        return re.sub(r"(less than a minute|\d+ minutes?)", "a while", later("generations").out)

    before = generations()

    ended = later("run", "--data", strange, "--quiet", **watched)

    assert (ended.code, ended.out, len(ended.lines)) == (6, "", 1)
    assert ended.err.startswith("error: the gate refused the input: input.days_behind ")
    assert "input.users 13 (at least 54; live 60)" in ended.err
    assert "Nothing was trained; fix the input or the threshold (--gate-bound)" in ended.err
    assert "`batch run --force REASON`" in ended.err
    assert ended.err.endswith(f" Still served: {second.generation}.\n")
    assert generations() == before
    message = json.loads(hooked.read_text())
    assert (message["what"], message["exit_code"]) == ("refused", 6)
    assert 'reco_run_gate_refused{namespace="reco"} 1.0' in prom.read_text()
    bounds = ("--gate-bound", "shrink=1", "--gate-bound", "days_behind=9999")
    for words in (bounds, ("--force", "a test")):
        trains = later("run", "--data", strange, "--quiet", *words)
        assert trains.code == 2  # there is no TensorFlow to train with
        assert "(tensorflow)" in trains.err


def test_refused_run_calls_the_hook_and_writes_metrics(turned_away, second, at_home):
    """The hook runs; the metrics describe the refused run and the live generation."""
    home = Path(at_home["RECO_HOME"])
    hooked = json.loads((home / "told.json").read_text())
    (refused,) = re.findall(r"refused generation (\S+): ", turned_away.err)

    assert (hooked["what"], hooked["exit_code"], hooked["namespace"]) == ("refused", 6, "reco")
    assert (hooked["generation"], hooked["served"]) == (refused, second.generation)
    assert turned_away.lines[-1] == f"error: {hooked['reason']}"
    values = dict(re.findall(r"^(reco_.+) (\S+)$", (home / "reco.prom").read_text(), re.MULTILINE))
    numbers = {name.replace('namespace="reco"', ""): float(v) for name, v in values.items()}
    assert numbers["reco_run_exit_code{}"] == 6
    assert numbers["reco_run_gate_refused{}"] == 1
    assert numbers["reco_run_users{}"] == 13
    assert numbers["reco_served_users{}"] == 60
    assert numbers["reco_served_bytes{}"] == second.manifest["bytes"]
    assert numbers['reco_run_stage_duration_seconds{,stage="train rating"}'] > 0
    assert 0 < numbers["reco_memory_forecast_ratio{}"] < 1


def test_force_overrules_the_gate(second, third, untrained, at_home):
    """The reason is in the manifest, on standard output and in the list."""
    gate = third.manifest["gate"]

    assert (gate["verdict"], gate["forced"]) == ("forced", "strange on purpose")
    assert gate["baseline"] == second.generation
    assert any(line.startswith("input.users 13 (at least 54") for line in gate["refused"])
    assert "\tforced: strange on purpose (input." in untrained("generations", **at_home).out


def test_in_a_pipe_each_stage_is_one_plain_line(first):
    """Each line has the time, the stage and its duration, as cron mails them."""
    stages = Counter(STAGE.fullmatch(line)[1] for line in first.ended.lines)

    assert set(stages.values()) == {1}
    assert len(stages) == 21
    assert {"read and check the data", "load TensorFlow", "publish"} <= set(stages)
    assert {"train retrieval", "refit retrieval", "train rating", "refit rating"} <= set(stages)
    published, report, _save = first.ended.lines[-3:]
    assert published.endswith(f"{first.manifest['entries']:,} keys, live")
    assert report.endswith(f"/artifacts/{first.generation}/report.html")


def test_on_a_terminal_there_is_a_live_bar(second):
    """Bars advance while a stage runs, and a line remains for each finished one."""
    shown = second.ended.err

    assert "━" in shown
    assert re.search(r"whole run.*stage 20/20", shown)
    assert "\x1b[" in shown
    for stage in ("read and check the data", "train rating", "publish"):
        assert re.search(rf"✓.*{stage} +\d+\.\d s", shown)
    assert "refit" not in shown


def test_quiet_prints_nothing_of_a_night_that_goes_well(third):
    """Cron sends no mail then; warnings are still printed."""
    assert third.ended.out == ""
    warnings = third.manifest["gate"]["warnings"]
    assert third.ended.lines == [f"warning: {warning}" for warning in warnings]


def test_previous_metrics_are_of_the_same_kind_of_split(first, second, at_home):
    """Metrics of the previous live generation, if measured on the same kind of split."""
    artifacts = Path(at_home["RECO_HOME"], "artifacts")

    before = metrics_before(artifacts, second.generation, split="time")

    assert before == second.manifest["metrics"]
    assert metrics_before(artifacts, second.generation, split="random") == {}
    assert metrics_before(artifacts, "20200101T000000Z-0000", split="time") == {}
    assert metrics_before(artifacts, None, split="time") == {}
    assert "live before" not in second.ended.out  # its split is by time, that of the first is not


def test_a_refused_night_ends_with_the_same_block(turned_away):
    """Refused instead of live, followed by the reason and the next command."""
    lines = turned_away.out.splitlines()

    outcome, reason, step, command, quality = lines[:5]
    generation = re.match(r"refused     (\w+-\w+)   ", outcome)[1]
    assert re.match(r"reason      .+ \(at (least|most) ", reason)
    assert step.startswith("next        fix the input or the threshold (--gate-bound)")
    assert command.startswith(f"  {BIN}/batch republish {generation} --force REASON")
    assert quality.startswith("quality     RMSE ")  # of nine movies
    (report,) = (line for line in lines if line.startswith("report      /"))
    assert Path(report.removeprefix("report      ")).is_file()
    assert "try next" not in lines


def test_a_second_night_replaces_the_first(first, second):
    """The second generation has the configured lengths and split."""
    second.require_sound(range(1, 61), range(1, 151))

    assert second.generation > first.generation
    assert {len(second.list_of("user", user)) for user in range(1, 61)} == {7}
    assert {len(second.list_of("ranked", user)) for user in range(1, 61)} == {130}
    assert len(second.list_of("popular", "most_rated")) == 3
    assert second.manifest["parameters"]["split"] == "time"
    assert not second.manifest["parameters"]["refit"]


def test_strange_ids_end_to_end(third):
    """Keys contain the raw ids, and every key is distinct."""
    third.require_sound([*(user.strip() for user in USERS), "once"], TITLES)

    assert third.manifest["ids"] == "string"
    assert third.seen("once") == ["*"]
    assert len(third.list_of("user", "once")) == len(TITLES) - 1
    assert set(third.seen("1")) != set(third.seen("01"))


def test_strange_titles_end_to_end(third):
    """Commas, quotes, a newline and emoji are preserved, and every title is found."""
    for movie, title in TITLES.items():
        assert json.loads(third.content[f"movie:{movie}"])["t"] == title
        for suffix in title_suffixes(title):
            assert movie in decode_ids(third.content[suffix])


def test_one_training_at_a_time(second, third):
    """With one training at a time the second model starts after all of the first.

    The choice is the first part of the longer one.
    """

    def times_of(night, stage):
        began = night.manifest["began"][stage]
        return began, began + night.manifest["seconds"][stage]

    assert times_of(second, CHOOSE)[0] < times_of(second, "train rating")[1]

    rating = times_of(third, "train rating")
    assert times_of(third, "save retrieval models")[1] <= rating[0]


def test_run_of_a_single_rating_has_empty_lists_and_no_metrics(third, fourth):
    """One user, one movie, one rating give empty lists, no metrics, and no failure."""
    fourth.require_sound(["1"], ["1"], reasons=False)

    assert fourth.list_of("user", "1") == []
    assert fourth.list_of("popular", "most_rated") == ["1"]
    metrics = dict(fourth.manifest["metrics"])
    chosen = metrics.pop("chosen")
    assert metrics == {"retrieval": {}, "popularity": {}, "rating": {}}
    assert chosen["retrieval"] == third.manifest["metrics"]["chosen"]["retrieval"]
    assert chosen["tried"] == []
    assert chosen["budgets"] == []
    assert "note: 1 user with too few ratings to hold any out" in fourth.ended.err


def test_three_generations_are_kept(nights, untrained, at_home):
    """The fourth run retires the first generation in store and on disk, of its own namespace only.

    A refused night's artifact takes no other's place.
    """
    home = Path(at_home["RECO_HOME"])
    first, second, *_ = nights
    kept = [night.generation for night in reversed(nights[1:])]

    listed = [row.split("\t") for row in untrained("generations", **at_home).out.splitlines()]

    stored = [row for row in listed if row[2] != "0"]
    assert [row[0] for row in stored] == kept
    assert [row[1] for row in stored] == ["live", "ready", "ready"]
    assert first.generation not in {row[0] for row in listed}
    with connect(None, home=home) as client:
        assert not suffixes_of(client, first.generation)
        assert suffixes_of(client, second.generation) == second.content
    folders = {path.name for path in (home / "artifacts").iterdir()}
    (young,) = (name for name in folders if name.endswith("-dead"))
    (refused,) = refused_artifacts(home)
    assert young > first.generation
    assert folders == {*kept, refused, young, "20200102T000000Z-beef"}


def test_readers_answer_from_the_last_night(fourth, at_home):
    """The Python reader and the command return lists for known and unknown users."""
    with Reader(home=Path(at_home["RECO_HOME"])) as reader:
        answer = reader.user("1")
        assert answer.generation == fourth.generation
        assert (answer.items, answer.notes) == (
            (),
            ("used_up", "all_seen"),
        )  # the only movie was rated
        assert [movie.title for movie in reader.find_title("only")] == ["Only (1995)"]
    asked = subprocess.run(
        [BIN / "reco", "get-user", "nobody"],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **at_home},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split("\t")[1:5] == ["1", "1", "most_rated", "Only (1995)"]


@pytest.fixture
def later(nights, untrained, at_home, tmp_path):
    """Commands in another home with copies of the artifacts and an empty store."""
    place = tmp_path / "later"
    shutil.copytree(Path(at_home["RECO_HOME"], "artifacts"), place / "artifacts")
    yield lambda *words, **more: untrained(
        *words, **{"REDIS_URL": "", "RECO_HOME": str(place), **more}
    )
    stop_server(place)


def test_republish_fills_a_store_that_lost_everything(later, second, tmp_path):
    """The keys equal those of the run byte by byte, without training."""
    place = tmp_path / "later"
    for _ in range(2):
        ended = later("republish", second.generation)
        assert (ended.code, ended.out.splitlines()[0]) == (0, f"live        {second.generation}")
        stages = [STAGE.fullmatch(line)[1] for line in ended.lines]
        assert stages == ["gate", "publish", "report", "save the store"]
        with connect(None, home=place) as client:
            assert live(client) == second.generation
            assert suffixes_of(client, second.generation) == second.content
        assert later("store", "stop").out == "the embedded store is saved and stopped\n"
        shutil.rmtree(place / "store")


def test_the_embedded_store_keeps_its_data_when_it_is_stopped(later, third, tmp_path):
    """The next command starts it again."""
    later("republish", third.generation, "--quiet")
    assert later("store", "stop").out == "the embedded store is saved and stopped\n"
    assert server_pid(tmp_path / "later") is None
    assert later("store", "stop").out == "the embedded store was not running\n"

    assert f"{third.generation}\tlive\t" in later("generations").out
    with connect(None, home=tmp_path / "later") as client:
        assert suffixes_of(client, third.generation) == third.content


def test_a_publication_survives_the_death_of_the_embedded_store(later, third, tmp_path):
    """A published generation is on disk before the command exits."""
    later("republish", third.generation, "--quiet")
    os.kill(server_pid(tmp_path / "later"), 9)

    assert f"{third.generation}\tlive\t" in later("generations").out


def test_rollback_and_release(later, nights, tmp_path):
    """Rollback holds newer runs and quarantines the bad generation; release ends the hold."""
    _, second, third, fourth = nights
    for night in (second, third, fourth):
        assert later("republish", night.generation, "--quiet", *FORCE).code == 0

    back = later("rollback", "--reason", "lists of one")
    assert back.out.splitlines()[0] == f"live again: {third.generation}"
    with Reader(home=tmp_path / "later") as reader:
        assert reader.user("once").generation == third.generation
    states = [row.split("\t")[:2] for row in later("generations").out.splitlines()]
    assert states[:2] == [[fourth.generation, "quarantined"], [third.generation, "live"]]
    assert "lists of one" in later("generations").out

    again = later("republish", fourth.generation, "--quiet")
    assert (again.code, len(again.lines)) == (2, 1)
    assert "is not published again; run `batch run` for a new one" in again.err
    held = later("republish", second.generation, "--quiet", *FORCE)
    assert (held.code, held.out, len(held.lines)) == (6, "", 1)
    assert held.err.startswith(f"error: generation {second.generation} is staged but not live")
    assert held.err.endswith(
        f"End the hold with `batch release`, then `batch republish {second.generation} --force "
        f"REASON`. Still served: {third.generation}.\n"
    )

    assert later("release").out == "the hold is off: the next run may go live\n"
    assert later("release").out == "there was no hold\n"
    assert later("republish", second.generation, "--quiet", *FORCE).code == 0
    assert later("rollback", third.generation).out.startswith(f"live again: {third.generation}\n")


def test_a_rollback_without_an_older_generation_changes_nothing(later, second):
    """One line on standard error, exit code 2."""
    later("republish", second.generation, "--quiet")

    ended = later("rollback")

    assert (ended.code, ended.out, len(ended.lines)) == (2, "", 1)
    assert f"before {second.generation} does not exist" in ended.err
    assert f"{second.generation}\tlive\t" in later("generations").out


def test_republish_of_a_missing_artifact_lists_the_existing_ones(later, second, third):
    """The error lists the existing artifacts and the live generation."""
    later("republish", third.generation, "--quiet")

    ended = later("republish", "20200101T000000Z-0000")

    assert (ended.code, ended.out, len(ended.lines)) == (5, "", 1)
    assert f"complete ones: 20200102T000000Z-beef, {second.generation}, " in ended.err
    assert ended.err.endswith(f"Still served: {third.generation}.\n")


def damaged(later, artifact: Path, kept: Path) -> str:
    """Republish a damaged artifact; return the one line of the error, and repair it."""
    ended = later("republish", artifact.name, "--quiet")
    shutil.rmtree(artifact)
    shutil.copytree(kept, artifact)
    assert (ended.code, ended.out, len(ended.lines)) == (5, "", 1)
    return ended.err


def test_5_when_the_artifact_is_damaged(later, second, third, tmp_path):
    """The error names the folder, not the store; the last generation remains live."""
    later("republish", third.generation, "--quiet")
    artifact = tmp_path / "later" / "artifacts" / second.generation
    shutil.copytree(artifact, kept := tmp_path / "kept")
    lists = artifact / "lists" / "user.parquet"

    lists.unlink()
    assert f"error: the artifact's {lists} is damaged or missing" in damaged(later, artifact, kept)
    lists.write_bytes(lists.read_bytes()[:-100])
    assert f"error: the artifact's {lists} is damaged or missing" in damaged(later, artifact, kept)
    for text in ("{}", "[1]", "{"):
        (artifact / "manifest.json").write_text(text, "utf-8")
        messages = damaged(later, artifact, kept)
        assert f"error: {artifact / 'manifest.json'} is damaged" in messages
        assert messages.endswith(f"Still served: {third.generation}.\n")


def test_2_when_the_artifact_is_of_another_namespace(later, second):
    """An artifact of another namespace is refused."""
    ended = later("republish", second.generation, "--namespace", "other")

    assert (ended.code, ended.out) == (2, "")
    assert "is of the namespace 'reco', not of 'other'" in ended.err


def test_republish_passes_the_gate_too(later, second, third, tmp_path):
    """A refused generation stays listed until the next run; a reason or another bound passes it."""
    assert later("republish", second.generation).code == 0

    ended = later("republish", third.generation, "--quiet")

    assert (ended.code, ended.out, len(ended.lines)) == (6, "", 1)
    assert ended.err.endswith(f"Still served: {second.generation}.\n")
    row = next(r for r in later("generations").out.splitlines() if r.startswith(third.generation))
    assert row.split("\t")[1] == "refused"
    assert "input.users 13 (at least 54; live 60)" in row
    passed = later("republish", third.generation, "--force", "a\x1b[31m test")
    assert passed.code == 0
    assert passed.out.startswith(f"live        {third.generation}\ngate        forced: ")
    assert passed.out.splitlines()[1].endswith(", forced: a\\x1b[31m test")
    assert f"{third.generation}\tlive\t" in later("generations").out
    assert "\tforced: a\\x1b[31m test (" in later("generations").out


def test_bounds_come_from_options_and_the_environment(later, second, tmp_path):
    """The option beats the environment."""
    strict = {"RECO_GATE_BOUNDS": "coverage=1 full_lists=0.5"}

    refused = later("republish", second.generation, "--quiet", **strict)
    passed = later(
        *("republish", second.generation, "--quiet", "--gate-bound", "coverage=0.1"), **strict
    )

    assert refused.code == 6
    assert "first_ten.coverage 0." in refused.err
    assert refused.err.endswith("Still served: nothing.\n")
    assert passed.code == 0


@pytest.mark.parametrize(
    "words", [("run", "--data", "demo"), ("republish", "20200101T000000Z-0000")]
)
@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (("--force", " "), "--force: expected a reason in words"),
        (("--force", ""), "--force: expected a reason in words"),
        (("--gate-bound", "chrun=1"), "--gate-bound 'chrun=1': expected NAME=VALUE, where NAME is"),
        (("--gate-bound", "churn=2"), "--gate-bound churn=2: expected a number from 0 to 1"),
    ],
)
def test_an_impossible_threshold_ends_with_2(untrained, tmp_path, words, option, expected):
    """The error comes before the input is read."""
    ended = untrained(*words, *option, RECO_HOME=str(tmp_path / "home"))

    assert (ended.code, ended.out, len(ended.lines)) == (2, "", 1)
    assert ended.err.startswith(f"error: {expected}")


KILL_THE_SERVER = """
import os, sys
from pathlib import Path
from reco_store.connection.embedded.server import server_pid
os.kill(server_pid(Path(sys.argv[1])), 9)
"""


@pytest.mark.usefixtures("may_mount")
def test_3_when_the_embedded_store_has_no_room_on_disk(batch, second, at_home, tmp_path):
    """The generation is live, so this is a warning, which names the possible loss."""
    disk = tmp_path / "disk"
    disk.mkdir()
    artifact = Path(at_home["RECO_HOME"], "artifacts", second.generation)
    kept = tmp_path / "artifacts" / second.generation
    shutil.copytree(artifact, kept, ignore=shutil.ignore_patterns("models"))
    size = sum(file.stat().st_size + 4096 for file in kept.rglob("*.*")) + 40_000
    script = (
        f"mount -t tmpfs -o size={size} none {disk} && cp -r {kept.parent} {disk} && "
        f'"$@"; code=$?; {BIN}/batch generations; '
        f"{sys.executable} -c '{KILL_THE_SERVER}' {disk}; exit $code"
    )

    ended = batch(
        *("republish", second.generation, "--quiet"),
        program=("unshare", "--mount", "sh", "-c", script, "sh", str(BIN / "batch")),
        REDIS_URL="",
        RECO_HOME=str(disk),
    )

    assert ended.code == 0, ended.err
    no_report, warning = ended.lines
    assert no_report.startswith(f"warning: there is no report of {second.generation}: ")
    assert re.fullmatch(
        f"warning: {second.generation} may be lost if the machine fails now: "
        f"the embedded store cannot be written to {disk}/store "
        r"\(No space left on device, \d\.\d MB free\)\. Make room there, then run "
        r"`batch store stop`, which saves\.",
        warning,
    )
    assert f"{second.generation}\tlive\t" in ended.out


DIE_WHILE_STAGING = """
import os, signal
from reco_store.publishing import staging
import reco_batch

write = staging.write_batch

def die(client, prefix, batch):
    write(client, prefix, batch)
    if len(batch) > 1:
        os.kill(os.getpid(), signal.SIGKILL)

staging.write_batch = die
reco_batch.main()
"""


def test_a_killed_run_needs_no_hand(later, batch, second, third, tmp_path):
    """Readers keep the old generation; the next run cleans up after the lease has expired."""
    place = tmp_path / "later"
    where = {"REDIS_URL": "", "RECO_HOME": str(place)}
    later("republish", third.generation, "--quiet")

    program = (sys.executable, "-c", DIE_WHILE_STAGING)
    killed = batch("republish", second.generation, program=program, **where)

    assert killed.code == -9
    with connect(None, home=place) as client, Reader(client=client) as reader:
        assert reader.user("once").generation == third.generation
        assert suffixes_of(client, third.generation) == third.content
        left_behind = suffixes_of(client, second.generation)
        assert 0 < len(left_behind) < len(second.content)
        busy = later("republish", third.generation)
        assert busy.code == 75
        assert "another run holds the lock" in busy.err
        client.pexpire(KEYS.lock, 1)  # a minute later
        while client.exists(KEYS.lock):
            pass
        assert later("republish", third.generation, "--quiet").code == 0
        assert suffixes_of(client, second.generation) == {}
        assert suffixes_of(client, third.generation) == third.content


HIDE_AND_RUN = """
import sys

class Hidden:
    @staticmethod
    def find_spec(name, *_):
        if name == {package!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Hidden)
import reco_batch
reco_batch.main()
"""


@pytest.mark.parametrize("package", ["typer", "pandas", "sklearn"])
def test_2_when_the_extra_is_not_installed(batch, small, package):
    """The base package has the command too, which prints what to install."""
    program = (sys.executable, "-c", HIDE_AND_RUN.format(package=package))

    ended = batch("run", "--data", small, program=program)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"error: the batch command ({package}) needs packages that are not installed. "
        "In the folder of reco's source: pip install '.[batch]'\n"
    )


HEAVY = "tensorflow", "pandas", "numpy", "pyarrow", "sklearn"
HELP_AND_LIST = f"""
import sys, reco_batch
try:
    reco_batch.main()
finally:
    print("heavy:", *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words", [("--help",), ("run", "--help"), ("--version",), ("generations",)], ids=" ".join
)
def test_help_and_lists_load_nothing_heavy(batch, words):
    """Commands without data respond at once."""
    ended = batch(*words, program=(sys.executable, "-c", HELP_AND_LIST))

    assert ended.code == 0
    assert ended.out
    assert ended.err == "heavy:\n"
