"""Artifact folder: its entries follow the key contract, at every iteration."""

import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import reco_batch.artifact.folder as artifact_module
from reco_batch.artifact.folder import (
    MANIFEST,
    Artifact,
    complete_generations,
    open_artifact,
    write_manifest,
)
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset, Histories, Movies, Ratings, histories
from reco_batch.data.split import Split
from reco_batch.errors import NightFailed
from reco_batch.rules.list_rules import Cap, ListRules
from reco_batch.scoring.explanations import Explained
from reco_batch.scoring.popularity import (
    MovieStatistics,
    Thresholds,
    movie_statistics,
    popular_lists,
)
from reco_batch.scoring.topk import TopK
from reco_store.contract import codec
from reco_store.contract.digest import Digest, Summary
from reco_store.contract.families import BECAUSE, FAMILIES, NEXT, USER, family_named
from reco_store.contract.keys import new_generation_id

GENERATION = new_generation_id(datetime(2026, 11, 24, 3, 15, 2, tzinfo=UTC), "7f3a")
ODD_IDS = ("10", 'a:"b', "{x}*", "🎬 film", "c d", "0dc5c2a8-4b5e-11ee-be56-0242ac120002")
TITLES = (
    "Toy Story (1995)",
    "Émma (1996)",
    "émma (1996)",
    'Say "Hi", you\n🎬',
    "Émma",
    "Toy Story",
)
USERS = ("1", "10", 'u:"{}*', "🎬", "é e")


def movies_of(ids):
    """Return six movies: titles equal up to case, one without a year, one without a genre."""
    return Movies(
        ids,
        TITLES,
        (("Comedy",), ("Drama", "War"), ("Drama",), ("Comedy",), ("Sci-Fi|x:y",), ()),
        (1995, 1996, 1996, None, None, None),
    )


def ratings_of_all_but_the_last():
    """Return ratings of movies 0 to 4 by users 0 to 3; the last user has none."""
    users, movies = np.divmod(np.arange(20, dtype=np.int32), 5)
    return Ratings(users, movies, np.float32(0.5 + np.arange(20) % 10 / 2), np.arange(20))


@pytest.mark.parametrize(("ids", "users"), [(("10", "20"), ("1", "2")), (("10", "x"), ("1", "é"))])
def test_split_and_metrics_can_be_joined_with_the_input(tmp_path, ids, users):
    """Ids are integers if all are canonical integers, as for `pandas.read_csv`; else text."""
    movies = Movies(ids, ids, ((), ()), (None, None))
    ratings = Ratings(
        *(np.array(rows, np.int32) for rows in ([1, 0, 1, 0], [0, 1, 1, 0])), None, None
    )
    dataset = Dataset(users, movies, ratings, (0.5, 5))
    split = Split(np.array([0]), np.array([2]), np.array([1]), 0, cold=np.array([3]))
    writer = ArtifactWriter(tmp_path / GENERATION, movies)

    writer.write_split(dataset, split)
    columns = {"user_index": np.array([1]), "held_out": np.array([7]), "ndcg@10": np.array([0.25])}
    writer.write_metrics("retrieval", users, columns)

    typed = int if users == ("1", "2") else str
    found = pd.read_parquet(writer.split)
    assert found["part"].tolist() == ["train", "test", "validation", "cold"]
    assert found["userId"].tolist() == [typed(users[u]) for u in (1, 0, 1, 0)]
    numbers = ids == ("10", "20")
    assert found["movieId"].tolist() == [
        int(i) if numbers else i for i in ("10", ids[1], ids[1], "10")
    ]
    (row,) = pd.read_parquet(writer.metrics("retrieval")).to_dict("records")
    assert row == {"userId": typed(users[1]), "heldOut": 7, "ndcg@10": 0.25}


def blocks_of(rows, movie_count, *, seed):
    """Return lists of decreasing length, in two blocks."""
    rng = np.random.default_rng(seed)
    items = np.array([rng.permutation(movie_count)[:4] for _ in range(rows)], np.int32)
    scores = -np.sort(-rng.normal(size=items.shape).astype(np.float32), axis=1)
    for row in range(rows):
        items[row, max(0, 4 - row) :] = -1
        scores[row, max(0, 4 - row) :] = -np.inf
    return [TopK(items[:2], scores[:2]), TopK(items[2:], scores[2:])]


def reasons_of(blocks, movie_count, *, seed):
    """Add explanations to lists: any movies, and none for every third entry."""
    rng = np.random.default_rng(seed)
    for block in blocks:
        reasons = rng.integers(0, movie_count, block.items.shape).astype(np.int32)
        reasons.reshape(-1)[::3] = -1
        yield Explained(block, np.where(block.items >= 0, reasons, -1))


class Written:
    """A complete artifact and everything that it was made of."""

    def __init__(self, artifacts, ids):
        self.movies = movies_of(ids)
        self.ratings = ratings_of_all_but_the_last()
        self.seen = histories(self.ratings, user_count=len(USERS))
        self.statistics = movie_statistics(self.ratings, movie_count=6)
        thresholds = Thresholds(1, 2.0)
        self.popular = list(popular_lists(self.statistics, self.movies, thresholds=thresholds, n=4))
        self.blocks = {
            "user": blocks_of(5, 6, seed=1),
            "ranked": blocks_of(5, 6, seed=2),
            "similar": blocks_of(6, 6, seed=3),
            "next": blocks_of(6, 6, seed=4),
        }
        self.explained = list(reasons_of(self.blocks["user"], 6, seed=4))
        writer = ArtifactWriter(artifacts / GENERATION, self.movies)
        self.rows = {"user": writer.write_explained(USERS, iter(self.explained))} | {
            family: writer.write_top_k(
                family_named(family), self.keys_of(family), iter(self.blocks[family])
            )
            for family in ("ranked", "similar", "next")
        }
        writer.write_seen(USERS, self.seen)
        writer.write_popular(iter(self.popular))
        writer.write_movies(self.movies, self.statistics)
        self.artifact = writer.finish(
            {
                "schema": 1,
                "generation": GENERATION,
                "created": "2026-11-24T03:15:02+00:00",
                "ids": "integer" if self.movies.numeric_ids else "string",
                "metrics": {"rating": {"rmse": 0.9}},
                "parameters": {"because": True},
            }
        )

    def keys_of(self, family):
        """Ids of the family's keys."""
        return self.movies.ids if family in ("similar", "next") else USERS

    def ids_at(self, indices):
        """Movie ids at indices."""
        return [self.movies.ids[index] for index in indices]

    def expected(self):
        """All expected entries, encoded by the codec of the contract."""
        numeric = self.movies.numeric_ids
        found = {}
        for family, blocks in self.blocks.items():
            items = np.concatenate([block.items for block in blocks])
            scores = np.concatenate([block.scores for block in blocks])
            for key, row, own in zip(self.keys_of(family), items, scores, strict=True):
                shown = row >= 0
                found[f"{family}:{key}"] = codec.encode_list(
                    self.ids_at(row[shown]), own[shown].tolist(), numeric_ids=numeric
                )
        reasons = np.concatenate([block.reasons for block in self.explained])
        items = np.concatenate([block.lists.items for block in self.explained])
        for user_id, row, own in zip(USERS, items, reasons, strict=True):
            reason_ids = [None if i < 0 else self.movies.ids[i] for i in own[row >= 0]]
            found[f"because:{user_id}"] = codec.encode_reasons(reason_ids, numeric_ids=numeric)
        for index, user_id in enumerate(USERS):
            rated = self.ids_at(self.seen.of(index))
            found[f"seen:{user_id}"] = codec.encode_ids(rated, numeric_ids=numeric)
        for popular in self.popular:
            genre = f":genre:{popular.genre}" if popular.genre is not None else ""
            found[f"popular:{popular.by}{genre}"] = codec.encode_list(
                self.ids_at(popular.movie_index), popular.score.tolist(), numeric_ids=numeric
            )
        for index, movie_id in enumerate(self.movies.ids):
            mean = float(self.statistics.rating_mean[index])
            record = codec.MovieRecord(
                self.movies.titles[index],
                self.movies.years[index],
                self.movies.genres[index],
                int(self.statistics.rating_count[index]),
                None if np.isnan(mean) else mean,
            )
            found[f"movie:{movie_id}"] = codec.encode_movie(record)
        return found


@pytest.fixture(params=[tuple("123456"), ODD_IDS], ids=["integer", "string"], scope="module")
def written(request, tmp_path_factory):
    """An artifact with integer ids, and one with text ids."""
    return Written(tmp_path_factory.mktemp("artifacts"), request.param)


def test_entries_are_the_contract(written):
    """Every list and card equals the one that the codec makes of the input."""
    entries = dict(written.artifact.entries())

    expected = written.expected()
    assert {k: v for k, v in entries.items() if not k.startswith(("title:", "search:"))} == expected


def test_titles_lead_to_their_movies(written):
    """Titles are folded, with and without the year; movies that share a title share a list."""
    entries = dict(written.artifact.entries())

    titles = {k: codec.decode_ids(v) for k, v in entries.items() if k.startswith("title:")}
    ids = written.movies.ids
    assert titles == {
        "title:toy story (1995)": [ids[0]],
        "title:toy story": [ids[0], ids[5]],
        "title:emma (1996)": [ids[1], ids[2]],
        "title:emma": [ids[1], ids[2], ids[4]],
        'title:say "hi", you 🎬': [ids[3]],
        "title:say hi you": [ids[3]],
    }


def test_an_older_artifact_keeps_its_titles(written):
    """An artifact without a version of the title index has the entries of its digest."""
    manifest = {k: v for k, v in written.artifact.manifest.items() if k != "title_index"}
    older = dict(Artifact(written.artifact.folder, manifest).entries())

    assert set(dict(written.artifact.entries())) - set(older) == {"title:say hi you"}


def test_words_lead_to_their_movies(written):
    """Each beginning of a word of up to four letters lists the most rated movies first."""
    entries = dict(written.artifact.entries())
    ids = written.movies.ids

    def found(beginning):
        return codec.decode_ids(entries[f"search:{beginning}"])

    assert found("stor") == [ids[0], ids[5]]
    assert found("e") == found("emma") == [ids[1], ids[2], ids[4]]
    assert found("1") == [ids[0], ids[1], ids[2]]
    assert "search:story" not in entries
    assert "search:" not in entries


def test_an_older_artifact_has_no_words(written):
    """An artifact written before such keys existed can be published again unchanged."""
    manifest = dict(written.artifact.manifest)
    manifest["counts"] = {k: n for k, n in manifest["counts"].items() if k != "search"}
    older = artifact_module.Artifact(written.artifact.folder, manifest)

    assert not [suffix for suffix in older.suffixes() if suffix.startswith("search:")]
    assert dict(older.entries()).keys() == set(older.suffixes())


def test_reasons_may_be_missing(written):
    """Explanations are published only if the manifest has them, whatever the folder contains."""
    for parameters in ({}, {"because": False}):
        manifest = {**written.artifact.manifest, "parameters": parameters}
        without = artifact_module.Artifact(written.artifact.folder, manifest)

        assert not without.publishes(BECAUSE)
        suffixes = list(without.suffixes())
        assert not [suffix for suffix in suffixes if suffix.startswith("because:")]
        assert [suffix for suffix, _ in without.entries()] == suffixes


def test_suffixes_are_the_keys_of_the_entries(written):
    """Keys have the same order as entries, and none occurs twice."""
    suffixes = list(written.artifact.suffixes())

    assert suffixes == [suffix for suffix, _ in written.artifact.entries()]
    assert len(set(suffixes)) == len(suffixes)


def test_families_are_published_in_the_order_of_their_records(written):
    """The digest depends on the order, which the records define."""
    names = dict.fromkeys(suffix.partition(":")[0] for suffix in written.artifact.suffixes())

    assert list(names) == [family.name for family in FAMILIES]


def test_iterating_twice_is_the_same(written):
    """An artifact can be iterated any number of times."""
    assert list(written.artifact.entries()) == list(written.artifact.entries())
    assert list(written.artifact.suffixes()) == list(written.artifact.suffixes())
    chunks = [entry for chunk in written.artifact.entry_chunks() for entry in chunk]
    assert chunks == list(written.artifact.entries())


def test_manifest_describes_the_entries(written):
    """Digest, sizes and counts are those of the entries; given fields are kept."""
    entries = list(written.artifact.entries())
    digest, summary = Digest(), Summary()
    for suffix, value in entries:
        digest.update(suffix, value)
    summary.update_many(entries)

    manifest = written.artifact.manifest
    assert manifest["digest"] == digest.value()
    assert manifest.items() >= summary.manifest_fields().items()
    assert manifest["counts"] == {
        "user": 5,
        "because": 5,
        "ranked": 5,
        "similar": 6,
        "next": 6,
        "seen": 5,
        "popular": len(written.popular),
        "movie": 6,
        "title": 6,
        "search": len([suffix for suffix, _ in entries if suffix.startswith("search:")]),
    }
    assert manifest["entries"] == len(entries)
    assert manifest["bytes"] == sum(len(value) for _, value in entries)
    assert manifest["metrics"] == {"rating": {"rmse": 0.9}}
    assert written.artifact.generation == GENERATION


def test_opened_again_it_is_the_same(written):
    """Another process reads the same entries from disk."""
    opened = open_artifact(written.artifact.folder.parent, GENERATION)

    assert opened.manifest == written.artifact.manifest
    assert list(opened.entries()) == list(written.artifact.entries())


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_rows_read_at_a_time_change_nothing(written, monkeypatch, rows):
    """Entries and digest do not depend on the batch size."""
    entries = list(written.artifact.entries())

    for constant in ("_ROWS_PER_BATCH", "_ROWS_PER_CHUNK"):
        monkeypatch.setattr(artifact_module, constant, rows)

    assert list(written.artifact.entries()) == entries
    assert list(written.artifact.suffixes()) == [suffix for suffix, _ in entries]
    longest = max(
        len(chunk) for chunk in written.artifact.entry_chunks() if "title:" not in chunk[0][0]
    )
    assert longest <= rows


def test_memory_of_reading_does_not_grow_with_the_file(tmp_path):
    """Lists are read in batches, without buffering the whole file."""
    rng = np.random.default_rng(0)
    ids = tuple(map(str, range(2000)))
    writer = ArtifactWriter(tmp_path / GENERATION, Movies(ids, ids, ((),) * 2000, (None,) * 2000))
    shape = (256, 100)
    blocks = (
        TopK(rng.integers(0, 2000, shape), rng.random(shape).astype(np.float32)) for _ in range(40)
    )
    writer.write_top_k(USER, list(map(str, range(40 * 256))), blocks)
    before = pa.total_allocated_bytes()
    lists = Artifact(writer.folder, {"generation": GENERATION}).lists(USER, rows=256)
    most = max(pa.total_allocated_bytes() - before for _ in lists)
    assert 0 < most < writer.lists(USER).stat().st_size / 4


def test_an_older_artifact_lacks_a_family(written, tmp_path):
    """Without the file and its count, the other entries stay the same."""
    folder = shutil.copytree(written.artifact.folder, tmp_path / "older")
    (folder / "lists" / "next.parquet").unlink()
    manifest = written.artifact.manifest
    counts = {name: count for name, count in manifest["counts"].items() if name != "next"}
    older = Artifact(folder, {**manifest, "counts": counts})

    rest = [entry for entry in written.artifact.entries() if not entry[0].startswith("next:")]
    assert list(older.entries()) == rest
    assert list(older.suffixes()) == [suffix for suffix, _ in rest]
    assert (older.has_lists(NEXT), older.has_lists(USER)) == (False, True)


def test_a_lost_file_is_no_older_artifact(written, tmp_path):
    """A file that the manifest counts is required."""
    folder = shutil.copytree(written.artifact.folder, tmp_path / "lost")
    (folder / "lists" / "next.parquet").unlink()

    with pytest.raises(NightFailed, match="damaged or missing"):
        list(Artifact(folder, written.artifact.manifest).entries())


def test_writing_returns_the_number_of_lists(written):
    """Empty lists are counted too."""
    assert written.rows == {"user": 5, "ranked": 5, "similar": 6, "next": 6}


def without_users(artifacts, movies):
    """Begin an artifact with empty families, to which a test adds lists."""
    writer = ArtifactWriter(artifacts / GENERATION, movies)
    for family in ("user", "ranked", "similar", "next"):
        writer.write_top_k(family_named(family), (), ())
    writer.write_seen((), Histories(np.zeros(1, np.int64), np.zeros(0, np.int32)))
    return writer


def test_popular_list_and_card_show_the_same_mean(tmp_path):
    """A mean between two thousandths is rounded the same way in a list and on a card."""
    movies = Movies(("1", "2"), ("A", "B"), ((), ()), (None, None))
    statistics = MovieStatistics(np.array([40, 80]), np.array([140.5 / 40, 281.0 / 80 + 0.0125]))
    writer = without_users(tmp_path, movies)
    writer.write_popular(popular_lists(statistics, movies, thresholds=Thresholds(0, 0.0), n=9))
    writer.write_movies(movies, statistics)

    entries = dict(writer.finish({"generation": GENERATION, "ids": "integer"}).entries())

    ids, scores = codec.decode_list(entries["popular:highest_rated"])
    assert scores == [codec.decode_movie(entries[f"movie:{i}"]).mean_rating for i in ids]


def test_movies_whose_titles_fold_to_nothing(tmp_path):
    """A title of blanks has no key, and is no error."""
    movies = Movies(("1",), (" ",), ((),), (None,))
    writer = without_users(tmp_path, movies)
    writer.write_popular(())
    writer.write_movies(movies, MovieStatistics(np.array([0]), np.array([np.nan])))

    artifact = writer.finish({"generation": GENERATION, "ids": "integer"})

    assert list(artifact.suffixes()) == ["movie:1"]
    assert artifact.manifest["counts"] == {"movie": 1}


def test_the_catalogue_has_what_the_rules_are_checked_by(tmp_path):
    """Eligible movies and the values of each cap; nothing of an artifact without rules."""
    movies = Movies(("1", "2", "3"), ("A", "B", "C"), ((),) * 3, (None,) * 3)
    statistics = MovieStatistics(np.zeros(3, np.int64), np.full(3, np.nan))
    brand = np.array([[4], [-1], [0]], np.int32)
    genre = np.array([[0, 1], [-1, -1], [2, -1]], np.int32)
    rules = ListRules(np.array([True, False, True]), caps=(Cap(brand, 1, 5), Cap(genre, 2, 10)))
    keys = [{"column": "brand", "at_most": 1, "first": 5}, {"column": "genres", "at_most": 2}]
    ruled, plain = (without_users(tmp_path / name, movies) for name in ("ruled", "plain"))
    for writer, more in ((ruled, (rules,)), (plain, ())):
        writer.write_popular(())
        writer.write_movies(movies, statistics, *more)
    manifest = {"generation": GENERATION, "ids": "integer"}

    found = ruled.finish({**manifest, "parameters": {"rules": {"cap": keys}}})
    without = plain.finish(manifest)

    assert found.eligible().tolist() == [True, False, True]
    for one, wanted in zip(found.caps(), rules.caps, strict=True):
        assert (one.at_most, one.first) == (wanted.at_most, wanted.first)
        np.testing.assert_array_equal(one.values, wanted.values)
    assert (without.eligible(), without.caps()) == (None, ())
    assert dict(found.entries()) == dict(without.entries())


def test_folder_must_be_new(tmp_path):
    """Two runs never write into one folder."""
    ArtifactWriter(tmp_path / GENERATION, movies_of(ODD_IDS))

    with pytest.raises(FileExistsError):
        ArtifactWriter(tmp_path / GENERATION, movies_of(ODD_IDS))


def test_models_have_a_place_in_the_folder(tmp_path):
    """SavedModels are in the artifact's folder."""
    writer = ArtifactWriter(tmp_path / GENERATION, movies_of(ODD_IDS))

    assert writer.models == tmp_path / GENERATION / "models"


def test_unfinished_folder_is_not_complete(tmp_path):
    """Without its manifest an artifact cannot be opened; the error names complete ones."""
    write_manifest_of(tmp_path, "20261123T031502Z-0001")
    ArtifactWriter(tmp_path / GENERATION, movies_of(ODD_IDS))

    assert complete_generations(tmp_path) == ["20261123T031502Z-0001"]
    with pytest.raises(NightFailed, match="complete ones: 20261123T031502Z-0001") as failed:
        open_artifact(tmp_path, GENERATION)
    assert failed.value.exit_code == 5


def test_no_artifacts_at_all(tmp_path):
    """Without any artifact the error names the command to run."""
    assert complete_generations(tmp_path / "none") == []
    with pytest.raises(NightFailed, match=r"complete ones: none.*batch run"):
        open_artifact(tmp_path / "none", GENERATION)


@pytest.mark.parametrize("content", [b'{"generation": "2026', b"\xff\xfe", b""])
def test_damaged_manifest(tmp_path, content):
    """A manifest that is cut or not text is reported as damaged."""
    write_manifest_of(tmp_path, GENERATION)
    (tmp_path / GENERATION / MANIFEST).write_bytes(content)

    with pytest.raises(NightFailed, match="is damaged"):
        open_artifact(tmp_path, GENERATION)


def test_generations_stand_oldest_first(tmp_path):
    """Complete generations are sorted by name, which is by time."""
    names = [f"202611{day:02}T031502Z-7f3a" for day in (7 * n % 29 for n in range(1, 29))]
    for name in names:
        write_manifest_of(tmp_path, name)

    assert complete_generations(tmp_path) == sorted(names)


def test_manifest_is_written_atomically(tmp_path):
    """A manifest that cannot be written leaves the earlier one unchanged."""
    write_manifest(tmp_path, {"title": "Émma 🎬"})

    with pytest.raises(TypeError):
        write_manifest(tmp_path, {"a": 1, "bad": object()})

    assert json.loads((tmp_path / MANIFEST).read_text("utf-8")) == {"title": "Émma 🎬"}


def write_manifest_of(artifacts, generation):
    """Create a folder that counts as complete."""
    (artifacts / generation).mkdir(parents=True)
    write_manifest(artifacts / generation, {"generation": generation})
