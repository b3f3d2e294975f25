"""`batch forget`: a person is nowhere in the store and the home, and no later run restores them."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from csv_folders import planted
from reco_batch.ingest.forgotten import list_of, read_forgotten
from reco_store import Keys, connect
from reco_store.connection.embedded.server import stop_server
from reco_store.control.inventory import parse_chunk

pytestmark = pytest.mark.slow

PERSON = "person-7"
KEYS = Keys("reco")


@pytest.fixture(scope="module")
def people(write, tmp_path_factory):
    """Ratings of users with names, one row of whom has no stars."""
    ratings, movies = planted()
    ratings = [(f"person-{user}", *rest) for user, *rest in ratings]
    return write(tmp_path_factory.mktemp("people"), [*ratings, (PERSON, 1, "x", 1)], movies)


@pytest.fixture(scope="module")
def home(batch, people, tmp_path_factory):
    """Home with the embedded store after two runs, and what a killed run and refresh left."""
    folder = tmp_path_factory.mktemp("forgetful")
    for _ in range(2):
        run(batch, folder, people)
    for left in ("unfinished/reco", "artifacts"):
        (folder / left / "20990101T000000Z-dead" / "lists").mkdir(parents=True)
    for left in ("unfinished/reco+refresh", "artifacts"):
        (folder / left / "20990101T000001Z-dead" / "lists").mkdir(parents=True)
    shutil.copytree(folder / "artifacts", folder.parent / "backup")
    yield folder
    stop_server(folder)


def run(batch, home, people, *words):
    """Run, with one bad row allowed."""
    words = ("run", "--data", people, "--no-refit", "--max-bad-rows", 1, *words)
    ended = batch(*words, REDIS_URL="", RECO_HOME=str(home))
    assert ended.code == 0, ended.err
    return ended


@pytest.fixture(scope="module")
def forgot(untrained, home):
    """The command, twice."""
    words = ("forget", PERSON)
    return [untrained(*words, REDIS_URL="", RECO_HOME=str(home)) for _ in range(2)]


def traces(home):
    """Return the places of the home that name the person."""
    found = []
    for folder, _, names in os.walk(home):
        for path in (Path(folder, name) for name in names):
            if path.suffix == ".parquet":
                text = pd.read_parquet(path).to_json()
            elif path.suffix in (".socket", ".lock") or not path.is_file():
                continue
            else:
                text = path.read_bytes().decode("latin-1")
            if f'{PERSON}"' in text or f"{PERSON}," in text or f":{PERSON}" in text:
                found.append(str(path.relative_to(home)))
    return found


def stored(home):
    """Return all keys, and all names in inventories."""
    with connect(None, home=home) as client:
        keys = [key.decode() for key in client.scan_iter(count=10_000)]
        names = [
            name
            for key in keys
            if ":inventory:" in key
            for name in parse_chunk(client.get(key), "")
        ]
    return keys, names


def test_the_person_is_nowhere(home, forgot):
    """Neither in a key, nor in an inventory, nor in a file; the result is a count of each.

    Rows of an artifact: four lists, the digest of the history, twenty of the split, one rejected,
    six of metrics.
    """
    ended = forgot[0]
    assert ended.code == 0, ended.err
    assert [line.split(maxsplit=1) for line in ended.out.splitlines()] == [
        ["forgotten", "1 user"],
        ["store", "8 keys deleted   2 generations changed"],
        ["on", "disk     64 rows and 4 models deleted   2 artifacts changed"],
        ["unfinished", "2 runs deleted"],
        ["later", f"runs  leave out everybody in {home / 'forgotten' / 'reco.json'}"],
    ]
    keys, names = stored(home)
    assert not [key for key in (*keys, *names) if key.endswith(f":{PERSON}")]
    assert f"user:{PERSON}0" not in names
    assert "user:person-8" in names
    assert traces(home) == []
    assert len(list(home.glob("artifacts/*/report.html"))) == 2


def test_the_second_time_nothing_is_found(forgot):
    """And this is reported, with exit code 0."""
    assert forgot[1].code == 0
    assert forgot[1].out.startswith(f"no data was found for {PERSON}\n")


def test_generations_are_served_again_as_before(home, forgot, untrained):
    """After a rollback, and from the artifact: it matches its digest and passes the gate."""
    at_home = {"REDIS_URL": "", "RECO_HOME": str(home)}
    for words in (("rollback",), ("release",), ("republish", "latest")):
        ended = untrained(*words, **at_home)
        assert ended.code == 0, ended.err


def test_a_restored_backup_is_erased_before_it_is_served(home, forgot, untrained):
    """An artifact is, by `batch republish`; everything is, by `batch forget` without a user."""
    at_home = {"REDIS_URL": "", "RECO_HOME": str(home)}
    backup = home.parent / "backup"
    older, newer = sorted(path.parent.name for path in backup.glob("*/manifest.json"))
    for name in (older, newer):
        shutil.rmtree(home / "artifacts" / name)
        shutil.copytree(backup / name, home / "artifacts" / name)
    assert len(traces(home)) > 10
    ended = untrained("republish", older, "--force", "restored", **at_home)
    assert ended.code == 0, ended.err
    assert not [place for place in traces(home) if older in place]
    ended = untrained("forget", **at_home)
    assert "1 artifact changed" in ended.out, ended.out + ended.err
    assert traces(home) == []


def test_republish_erases_nobody_of_the_settings(home, forgot, untrained, tmp_path):
    """Users of `[input] forget` are left out of runs only."""
    ids = tmp_path / "ids.txt"
    ids.write_text("person-8\n", "utf-8")
    before = {path: path.read_bytes() for path in home.glob("artifacts/*/lists/*")}

    ended = untrained(
        "republish",
        "latest",
        REDIS_URL="",
        RECO_HOME=str(home),
        RECO_INPUT_FORGET=str(ids),
    )

    assert ended.code == 0, ended.err
    assert {path: path.read_bytes() for path in home.glob("artifacts/*/lists/*")} == before


def test_later_runs_leave_the_person_out(home, forgot, batch, people):
    """Also a user of the settings, and the text of a rejected row."""
    ended = run(batch, home, people, "--forget", _file(home, "person-8\n\n"))
    assert "40 ratings of 2 forgotten users left out" in ended.err
    keys, _ = stored(home)
    newest = max(path.parent for path in home.glob("artifacts/*/manifest.json"))
    assert f"reco:{newest.name}:user:person-9" in keys
    assert f"reco:{newest.name}:user:person-8" not in keys
    assert traces(home) == []
    assert "person-8" not in (newest / "manifest.json").read_text()


def _file(home, text):
    """Write a file of ids."""
    path = home.parent / "ids.txt"
    path.write_text(text)
    return path


def test_a_damaged_artifact_does_not_protect_the_others(home, forgot, untrained):
    """The others of a restored backup are erased, and the damaged one is reported."""
    backup = home.parent / "backup"
    older, newer = sorted(path.parent.name for path in backup.glob("*/manifest.json"))
    for name in (older, newer):
        shutil.rmtree(home / "artifacts" / name, ignore_errors=True)
        shutil.copytree(backup / name, home / "artifacts" / name)
    for path in (home / "artifacts" / older).glob("lists/user.parquet"):
        path.write_bytes(b"PAR1")

    ended = untrained("forget", REDIS_URL="", RECO_HOME=str(home))

    assert ended.code == 5
    assert older in ended.err
    shutil.rmtree(home / "artifacts" / older)
    assert traces(home) == []


def test_without_ids_and_without_a_list_nothing_changes(untrained, tmp_path):
    """An unset variable in a script deletes no unfinished run."""
    unfinished = tmp_path / "unfinished" / "reco" / "20260101T000000Z-abcd"
    unfinished.mkdir(parents=True)

    ended = untrained("forget", REDIS_URL="", RECO_HOME=str(tmp_path))

    assert ended.code == 2
    assert ended.err.startswith("error: no user is given, and ")
    assert unfinished.exists()


def test_undo_removes_a_user_from_the_list_and_erases_nothing(untrained, tmp_path):
    """The next run reads the user again; an unfinished run stays."""
    own = {"REDIS_URL": "", "RECO_HOME": str(tmp_path)}
    path = list_of(tmp_path, "reco")
    assert untrained("forget", "person-1", "person-2", **own).code == 0
    unfinished = tmp_path / "unfinished" / "reco" / "20260101T000000Z-abcd"
    unfinished.mkdir(parents=True)

    ended = untrained("forget", "--undo", "person-1", "person-3", **own)
    again = untrained("forget", "--undo", "person-3", **own)
    none = untrained("forget", "--undo", **own)

    assert ended.code == 0, ended.err
    assert "1 user from the list   1 user not in it" in ended.out
    assert "what was erased comes back with the next run" in " ".join(ended.out.split())
    assert "0 users from the list   1 user not in it" in again.out
    assert "comes back" not in again.out
    assert read_forgotten(path).among(["person-1", "person-2"]) == {"person-2"}
    assert unfinished.exists()
    assert none.code == 2
    assert "--undo: no user is given" in none.err
