"""Widths of a table's columns."""

from hypothesis import given
from hypothesis import strategies as st

from reco_cli.table import column_blocks, column_widths

GAP = 2
needs = st.fixed_dictionaries(
    {"#": st.integers(1, 4), "title": st.integers(5, 200)},
    optional={
        "id": st.integers(2, 8),
        "year": st.just(4),
        "genres": st.integers(6, 120),
        "score": st.integers(5, 7),
        "source": st.integers(6, 13),
        "because": st.integers(7, 80),
    },
)


@given(needs, st.integers(20, 300))
def test_columns_fit_the_terminal(wanted, width):
    """No table is wider than the terminal, and no column wider than its widest cell."""
    widths = column_widths(wanted, width)
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= width
    assert all(0 < size <= wanted[name] for name, size in widths.items())


@given(needs, st.integers(20, 300))
def test_short_columns_are_whole_or_left_out(wanted, width):
    """A rank, year, score or source is never cut; rank and title are always shown."""
    widths = column_widths(wanted, width)
    cut = {name for name, size in widths.items() if size < wanted[name]}
    assert cut <= {"title", "genres", "because"}
    assert {"#", "title"} <= set(widths)


@given(needs)
def test_a_wide_terminal_shows_every_column(wanted):
    """A terminal that is wide enough shows every column in full."""
    width = sum(wanted.values()) + GAP * (len(wanted) - 1)
    assert column_widths(wanted, width) == wanted


def test_eighty_columns_show_every_column_and_most_of_the_title():
    """A usual list at 80 columns: genres have a third of the width for text."""
    wanted = {"#": 2, "title": 60, "year": 4, "genres": 40, "score": 5, "source": 10}
    assert column_widths(wanted, 80) == {**wanted, "title": 32, "genres": 17}


def test_eighty_columns_show_an_explanation_of_any_length():
    """It was asked for: genres and source go first, and it is cut before the year goes."""
    wanted = {"#": 3, "title": 60, "year": 4, "genres": 40, "score": 5, "source": 10}
    left = {"#": 3, "title": 20, "year": 4, "score": 5}
    assert column_widths({**wanted, "because": 33}, 80) == {**left, "title": 27, "because": 33}
    assert column_widths({**wanted, "because": 60}, 80) == {**left, "because": 40}
    assert "because" not in column_widths({**wanted, "because": 60}, 40)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=9), st.integers(0, 120))
def test_blocks_hold_every_column_once_and_fit(columns, room):
    """In their order, as many side by side as fit; a single one may be too wide."""
    blocks = column_blocks(columns, room)
    assert [need for block in blocks for need in columns[block]] == columns
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        used = sum(columns[block]) + GAP * len(columns[block])
        assert used <= room or len(columns[block]) == 1
        if after is not None:
            assert used + GAP + columns[after][0] > room
