"""`batch simulate` as a process."""

import pytest


def test_simulated_files_are_accepted_by_a_run(untrained, accepted, tmp_path):
    """The output contains the size and the command that uses it."""
    words = ("simulate", tmp_path / "out", "--scale", "0.05", "--movies", "1500", "--seed", "3")

    ended = untrained(*words)

    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0] == (
        f"wrote       5,042 ratings of 30 users and 1,500 movies to {tmp_path / 'out'}"
    )
    assert ended.out.splitlines()[-1].endswith(f"batch run --data {tmp_path / 'out'}")
    messages = accepted("run", "--data", tmp_path / "out")
    assert messages[0].endswith("5,042 ratings, 30 users, 1,500 movies")


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("--like", "ml-1m"), "--like 'ml-1m': expected ml-latest-small or ml-25m or ml-32m"),
        (("--scale", "0"), "--scale 0.0: expected a number above 0"),
        (("--format", "json"), "--format 'json': expected csv or parquet or jsonl"),
        (("--movies", "90"), "90 movies: expected at least 1,323, for 165 ratings a user"),
    ],
)
def test_2_for_an_impossible_option_value(untrained, tmp_path, words, messages):
    """One line has the option, the value and the expectation; nothing is written."""
    ended = untrained("simulate", tmp_path / "out", *words)

    assert (ended.code, ended.err) == (2, f"error: {messages}\n")
    assert not (tmp_path / "out").exists()
