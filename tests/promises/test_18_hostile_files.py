"""Promise 18: hostile files cannot crash a run, escape from it, or corrupt what it publishes.

tests/batch/night/test_bad_input.py tests each kind of damage with its exact message.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from real_servers import BINARIES
from reco_batch.errors import DataRefused
from reco_batch.ingest.readers import read_folder
from reco_batch.ingest.validate import build_dataset
from reco_terminal.console import printable
from store_under_fault import KEYS

SCALE = (0.5, 5.0)
IDS = st.sampled_from(
    ["1", "2", "007", "-3", "1.0", "a:b", "{x}", "*", "..", "../../etc", "\x1b[2J"]
)
RATINGS = st.sampled_from(["1", "4.5", "nan", "NaN", "inf", "1e999", "-1", "6", "", "five", "4,5"])
TIMES = st.sampled_from(["1500000000", "-5", "1e9", "99999999999999999999", "", "soon", "1.5"])
TITLES = st.sampled_from(
    ["Heat (1995)", "", '"', "a,b", "\x1b]0;x\x07", "<script>", "\u202e", "x" * 9]
)
GENRES = st.sampled_from(["Crime", "", "|", "A|B|A", "(no genres listed)", "\x00"])
ROWS = {
    "ratings.csv": ("userId,movieId,rating,timestamp", (IDS, IDS, RATINGS, TIMES)),
    "movies.csv": ("movieId,title,genres", (IDS, TITLES, GENRES)),
}
NOISE = st.sampled_from([b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b'"', b",", b"\n\n", b"\x1a"])


@st.composite
def files(draw):
    """Draw both files: mostly valid rows of the grammar, then some damage."""
    content = {}
    for name, (header, columns) in ROWS.items():
        good = "1,2,4.5,1500000000" if name == "ratings.csv" else "2,Heat (1995),Crime"
        bad = st.tuples(*columns).map(",".join)
        row = st.integers(0, 9).flatmap(lambda dice, g=good, b=bad: b if dice == 0 else st.just(g))
        rows = draw(st.lists(row, min_size=1, max_size=6))
        end = draw(st.sampled_from(["\n", "\r\n"]))
        data = end.join([header, *rows]).encode() + draw(st.sampled_from([b"", b"\n"]))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            at = draw(st.integers(0, len(data)))
            data = data[:at] + draw(NOISE) + data[at:]
        whole = draw(st.sampled_from([True, True, True, False]))
        content[name] = data if whole else data[: draw(st.integers(0, len(data)))]
    return content


def require_sane(dataset) -> None:
    """Require that accepted data hold no value that breaks models or keys."""
    ratings = dataset.ratings
    assert len(ratings) > 0
    assert ((ratings.rating >= SCALE[0]) & (ratings.rating <= SCALE[1])).all()
    assert all(dataset.user_ids)
    assert len(set(dataset.user_ids)) == len(dataset.user_ids)
    assert all(dataset.movies.ids)
    assert len(set(dataset.movies.ids)) == len(dataset.movies.ids)
    assert ratings.user_index.max() < len(dataset.user_ids)
    assert ratings.movie_index.max() < len(dataset.movies)
    pairs = set(zip(ratings.user_index.tolist(), ratings.movie_index.tolist(), strict=True))
    assert len(pairs) == len(ratings)


def test_18_hostile_rows(tmp_path, many):
    """Any content is either valid data or refused by one line that names the file."""
    ends = set()

    @settings(
        max_examples=many(300, 5_000),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(files())
    def read(content):
        for name, data in content.items():
            (tmp_path / name).write_bytes(data)
        refusal = None
        try:
            dataset = build_dataset(read_folder(tmp_path), rating_scale=SCALE)
        except DataRefused as error:
            refusal = error
        ends.add(refusal is not None)
        if refusal is None:
            require_sane(dataset)
        else:
            assert refusal.file in content
            lines = content[refusal.file].splitlines()
            assert refusal.line is None or 1 <= refusal.line <= len(lines) + 1
            assert not {"\n", "\x1b"} & set(printable(str(refusal)))

    read()
    assert ends == {True, False}


RATINGS_HEADER = b"userId,movieId,rating,timestamp\n"
#: Bytes of memory for a line of any length: blocks and pools of the reading libraries.
BUFFERS = 64_000_000
MOVIES = b"movieId,title,genres\n" + b"".join(b"%d,Film,War\n" % movie for movie in range(1, 31))
GOOD = RATINGS_HEADER + b"".join(
    b"%d,%d,4,1500000000\n" % (u, m) for u in (1, 2) for m in (1, 2, 3)
)


def changed(old: bytes, new: bytes):
    """Return a function that writes the ratings with one changed row."""
    assert old in GOOD
    return lambda path: path.write_bytes(GOOD.replace(old, new, 1))


def cut_gzip(path: Path) -> None:
    """Write the first half of a compressed file."""
    whole = gzip.compress(GOOD * 100)
    path.with_suffix(".csv.gz").write_bytes(whole[: len(whole) // 2])


#: name -> (writer of the ratings, expected text of the error)
CORPUS = {
    "NUL": (changed(b"1,2,4", b"1,2,4\0"), "ratings.csv, line 3: rating '4\\x00' is not a number"),
    "NaN": (changed(b"1,2,4", b"1,2,NaN"), "ratings.csv, line 3: rating is nan"),
    "too large": (changed(b"1,2,4", b"1,2,1e999"), "ratings.csv, line 3: rating is inf"),
    "not UTF-8": (changed(b"1,2,4", b"\xff,2,4"), "ratings.csv, line 3: b'\\xff,2,4,"),
    "a row too short": (changed(b"1,2,4", b"1,4"), "ratings.csv, line 3: 3 values in"),
    "unknown movies": (
        changed(b"1,2,4", b"1,99,4"),
        "ratings.csv, line 3: movieId '99' is one of 1 that movies.csv lacks; 1 of 6 ratings",
    ),
    "truncated gzip": (cut_gzip, "ratings.csv.gz: the file cannot be decompressed to its end"),
    "a link to itself": (lambda path: path.symlink_to(path), "ratings.csv: '"),
    "a link to nowhere": (lambda path: path.symlink_to("nowhere"), "ratings.csv: '"),
    "a link to an endless device": (
        lambda path: path.symlink_to("/dev/zero"),
        "ratings.csv: it is a device",
    ),
    "a link to other text": (lambda path: path.symlink_to(__file__), "ratings.csv, line "),
    "a pipe without a writer": (os.mkfifo, "ratings.csv: it is a named pipe"),
}


@pytest.fixture
def refused(make_store, stored, tmp_path):
    """Run on the files of a folder and require that no data key changes.

    Returns:
        The line of the error, and the peak memory in bytes.
    """
    store = make_store()
    store.publish(0)
    before = stored(store.admin, KEYS)
    before.pop(KEYS.fence)  # every started run changes the fence
    environment = {**os.environ, "REDIS_URL": store.writer_url, "RECO_HOME": str(tmp_path / "home")}

    def run(folder: Path) -> tuple[str, int]:
        command = [*MEASURED, str(BATCH), "run", "--data", str(folder)]
        ended = subprocess.run(
            command, env=environment, capture_output=True, check=False, timeout=300, text=True
        )
        after = stored(store.admin, KEYS)
        after.pop(KEYS.fence)
        assert ended.returncode == 4, ended.stderr
        assert after == before
        assert len(ended.stderr.splitlines()) == 1
        assert len(ended.stderr) < 700
        assert ended.stderr.endswith(f"Still served: {store.night(0).generation}.\n")
        return ended.stderr, int(ended.stdout)

    return run


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("binary", [BINARIES["valkey"]], ids=["valkey"])
def test_18_hostile_files(refused, tmp_path, name):
    """Each damage is refused in one line that contains the row's number where there is one."""
    write, reason = CORPUS[name]
    (tmp_path / "movies.csv").write_bytes(MOVIES)
    write(tmp_path / "ratings.csv")

    assert refused(tmp_path)[0].startswith(f"error: {reason}")


@pytest.mark.parametrize("field", ["userId", "rating", "title", "userId, compressed"])
@pytest.mark.parametrize("binary", [BINARIES["valkey"]], ids=["valkey"])
def test_18_a_line_without_end(refused, tmp_path, field, many):
    """One line of many megabytes is refused, with memory for only a few copies of it."""
    size = many(30, 300) * 1_000_000
    compressed = "compressed" in field
    file, start = {
        "rating": ("ratings.csv", RATINGS_HEADER + b"1,2,"),
        "title": ("movies.csv", b"movieId,title,genres\n2,"),
    }.get(field, ("ratings.csv.gz" if compressed else "ratings.csv", RATINGS_HEADER))
    taken = []
    for length in (0, size):
        (tmp_path / "ratings.csv").write_bytes(GOOD)
        (tmp_path / "movies.csv").write_bytes(MOVIES)
        if compressed:
            (tmp_path / "ratings.csv").unlink()
        data = start + b"9" * length
        (tmp_path / file).write_bytes(gzip.compress(data, 1) if compressed else data)
        line, memory = refused(tmp_path)
        assert line.startswith(f"error: {file}")
        taken.append(memory)
    # Six copies; the allocator keeps a varying part of one more.
    assert taken[1] - taken[0] < 7 * size + BUFFERS


BATCH = Path(sys.executable).with_name("batch")
#: Runs a program and prints its peak memory in bytes.
MEASURED = (
    sys.executable,
    "-c",
    """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(1024 * usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
""",
)
