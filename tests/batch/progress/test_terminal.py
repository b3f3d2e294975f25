"""Pages on a terminal: nothing is wider, nothing is lost, and a command can be copied."""

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from reco_batch.progress.terminal import fit_to_terminal, table

PAGE = """published 20261124T031502Z-7f3a: 60 users, 150 movies, 788 keys, 0.3 MB
first 10  73 of 100 users find at least one movie that was held back from the models
artifact  /var/lib/千と千尋の神隠し
try next
  /opt/reco/.venv/bin/reco get-user '千と 千尋' --namespace mine --home '/srv/a b'"""


@pytest.fixture
def terminal(monkeypatch):
    """Standard output is a terminal of a width."""

    def of(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    return of


def test_in_a_pipe_a_page_stays_as_it_is(monkeypatch):
    """Whatever the width is."""
    monkeypatch.setenv("COLUMNS", "40")

    assert fit_to_terminal(PAGE) == PAGE


def test_words_go_on_below_words(terminal):
    """And a command goes on after a backslash, as a shell reads it."""
    terminal(50)

    assert fit_to_terminal(PAGE).splitlines() == [
        "published 20261124T031502Z-7f3a: 60 users, 150",
        "movies, 788 keys, 0.3 MB",
        "first 10  73 of 100 users find at least one movie",
        "          that was held back from the models",
        "artifact  /var/lib/千と千尋の神隠し",
        "try next",
        "  /opt/reco/.venv/bin/reco get-user '千と 千尋' \\",
        "  --namespace mine --home '/srv/a b'",
    ]


def test_a_path_is_never_broken(terminal):
    """Not at its blanks either, so that it can be copied; figures go on below figures."""
    terminal(40)
    path = "/home/somebody/a folder/artifacts/20261124T031502Z-7f3a/report.html"
    page = f"report    {path}\n          RMSE 0.806 (last run 0.805, user and item means 0.869)"

    assert fit_to_terminal(page).splitlines() == [
        f"report    {path}",
        "          RMSE 0.806 (last run 0.805,",
        "          user and item means 0.869)",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_nothing_is_wider_than_the_terminal(terminal, columns):
    """And nothing is lost."""
    terminal(columns)

    shown = fit_to_terminal(PAGE)

    assert max(map(cell_len, shown.splitlines())) <= columns
    assert shown.replace("\\\n", "\n").split() == PAGE.split()


@example(["reco", "two  spaces " * 5])
@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1), min_size=1)
)
def test_a_command_means_the_same(words):
    """A shell that joins its lines reads the words that were there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "40")
        patch.setattr("sys.stdout.isatty", lambda: True)
        shown = fit_to_terminal(f"  {shlex.join(words)}")

    assert shlex.split(shown.replace("\\\n", "")) == words


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_table_fits(terminal, columns):
    """Wide characters and emoji count as what they take; long ones go on in the next line."""
    terminal(columns)
    rows = [("a", "千と千尋の神隠し" * 9, "x"), ("b" * 50, "🎬", "y"), ("[bold]", "z", ":smile:")]

    shown = table(("one", "two", "three"), rows)

    assert max(map(cell_len, shown.splitlines())) <= columns
    letters = "".join(shown.split())
    assert letters.count("千") == 18
    assert letters.count("b") >= 50
    assert "\x1b" not in shown
    if columns == 80:
        assert "[bold]" in letters
        assert ":smile:" in letters
