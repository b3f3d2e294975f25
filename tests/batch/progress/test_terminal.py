"""Text layout for a terminal: nothing is wider, nothing is lost, and a command can be copied."""

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from reco_batch.progress.terminal import fit_to_terminal, table

PAGE = """published 20261124T031502Z-7f3a: 60 users, 150 movies, 788 keys, 0.3 MB
quality   NDCG@10 0.385 (last run 0.396)   RMSE 0.806 (user and item means 0.869, last run 0.805)
artifact  /var/lib/千と千尋の神隠し
try next
  /opt/reco/.venv/bin/reco get-user '千と 千尋' --namespace mine --home '/srv/a b'"""


@pytest.fixture
def terminal(monkeypatch):
    """Make standard output a terminal of a width."""

    def of(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    return of


def test_in_a_pipe_a_text_is_unchanged(monkeypatch):
    """The width does not matter in a pipe."""
    monkeypatch.setenv("COLUMNS", "40")

    assert fit_to_terminal(PAGE) == PAGE


def test_a_value_continues_below_itself(terminal):
    """A value continues below itself, a command after a backslash."""
    terminal(50)

    assert fit_to_terminal(PAGE).splitlines() == [
        "published 20261124T031502Z-7f3a: 60 users, 150",
        "movies, 788 keys, 0.3 MB",
        "quality   NDCG@10 0.385 (last run 0.396)",
        "          RMSE 0.806 (user and item means 0.869,",
        "          last run 0.805)",
        "artifact  /var/lib/千と千尋の神隠し",
        "try next",
        "  /opt/reco/.venv/bin/reco get-user '千と 千尋' \\",
        "  --namespace mine --home '/srv/a b'",
    ]


def test_a_path_stays_whole(terminal):
    """A path with blanks stays whole, so it can be copied."""
    terminal(40)
    path = "/home/user/a folder/artifacts/20261124T031502Z-7f3a/report.html"
    page = f"report    {path}\n          RMSE 0.806 (last run 0.805, user and item means 0.869)"

    assert fit_to_terminal(page).splitlines() == [
        f"report    {path}",
        "          RMSE 0.806 (last run 0.805,",
        "          user and item means 0.869)",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_nothing_is_wider_than_the_terminal(terminal, columns):
    """Every word is still there."""
    terminal(columns)

    shown = fit_to_terminal(PAGE)

    assert max(map(cell_len, shown.splitlines())) <= columns
    assert shown.replace("\\\n", "\n").split() == PAGE.split()


@example(["reco", "two  spaces " * 5])
@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1), min_size=1)
)
def test_a_command_keeps_its_words(words):
    """A shell that joins the lines reads the same words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "40")
        patch.setattr("sys.stdout.isatty", lambda: True)
        shown = fit_to_terminal(f"  {shlex.join(words)}")

    assert shlex.split(shown.replace("\\\n", "")) == words


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_table_fits(terminal, columns):
    """Wide characters and emoji count as two cells; long cells are folded."""
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
