"""Small plots: round ticks, and points at their values."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.report.plots import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Series,
    Words,
    bar_plot,
    decades,
    line_plot,
    spark,
    tick_label,
    ticks,
)

WORDS = Words("title", "about", "x", "y")
NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS)
def test_ticks_enclose_the_range(low, high):
    """A few even steps, with distinct labels."""
    found = ticks(low, high)

    assert 2 <= len(found) <= 7
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    slack = 1e-8 + 1e-6 * max(steps)
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert len({tick_label(tick, found) for tick in found}) == len(found)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 276, ["0", "100", "200", "300"]),
        (0.43, 0.77, ["0.4", "0.5", "0.6", "0.7", "0.8"]),
        (0, 9_066, ["0", "2,500", "5,000", "7,500", "10,000"]),
    ],
)
def test_ticks_are_round(low, high, labels):
    """Labels have the fewest decimals that distinguish them."""
    found = ticks(low, high)

    assert [tick_label(tick, found) for tick in found] == labels


def test_shares_are_written_as_percentages():
    """Shares are percentages of the whole scale."""
    found = ticks(0, 1)

    assert [tick_label(t, found, as_percent=True) for t in found] == [
        *("0 %", "25 %", "50 %", "75 %", "100 %")
    ]


def test_decades_end_at_the_last_one_reached():
    """A catalogue of 999 movies has no tick at 1,000, one of 1,000 has."""
    assert decades(999) == [1, 10, 100]
    assert decades(1000) == [1, 10, 100, 1000]


@given(st.lists(st.tuples(st.floats(1, 1e5), NUMBERS), min_size=1, max_size=20), st.booleans())
def test_lines_stay_inside(points, log_x):
    """Every point is within the axes."""
    plot = line_plot([Series("a", "now", sorted(points))], WORDS, log_x=log_x)

    places = [float(n) for n in re.findall(r"-?[\d.]+(?:e[+-]\d+)?", plot.lines[0].path)]
    assert all(LEFT - 0.1 <= x <= RIGHT + 0.1 for x in places[::2])
    assert all(TOP - 0.1 <= y <= BOTTOM + 0.1 for y in places[1::2])


def test_larger_values_are_further_right_and_up():
    """Larger values are further right and further up."""
    plot = line_plot([Series("a", "now", [(1, 0), (2, 5), (3, 10)])], WORDS, y_range=(0, 10))

    assert plot.lines[0].path == f"M{LEFT} {BOTTOM}L196 92L{RIGHT} {TOP}"
    assert plot.lines[0].end == (RIGHT, TOP)


def test_a_series_without_points_is_not_drawn():
    """An empty series does not break the axes."""
    plot = line_plot([Series("a", "now", [])], WORDS)

    assert plot.lines == []
    assert len(plot.y_ticks) >= 2


def test_bars_are_as_tall_as_their_values():
    """Neighbours do not overlap, and each has its value in a tooltip."""
    plot = bar_plot(["a", "b"], [("x", "now", [1, 2]), ("y", "other", [0, 4])], WORDS)

    heights = {bar.tooltip: bar.height for bar in plot.bars}
    assert heights["b: 4 (y)"] == BOTTOM - TOP
    assert heights["b: 2 (x)"] == heights["b: 4 (y)"] / 2
    assert heights["a: 0 (y)"] == 0
    edges = sorted((bar.x, bar.x + bar.width) for bar in plot.bars)
    assert all(a[1] <= b[0] + 0.2 for a, b in itertools.pairwise(edges))


def test_a_course_without_change_is_flat():
    """A change of 0.1 % is not drawn as a rise to the top; the last point is at the right."""
    flat = spark([(1.0, "before", ""), (1.001, "now", "")])
    steep = spark([(1.0, "before", ""), (1.5, "now", "")])

    assert abs(flat.dots[0][1] - flat.dots[1][1]) < 2
    assert steep.dots[0][1] - steep.dots[1][1] == 14
    assert flat.dots[1][0] == 106
    assert spark([]) is None
