"""Small plots as plain geometry, which the template draws as SVG.

Without a plotting library, text stays text, colours follow the page's dark mode, and a plot is a
few hundred bytes. All lengths are in units of a view box about as wide as a phone, so that letters
are as large as the surrounding text. Pure functions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

#: Puts the words of a catalogue into a text.
Adapt: TypeAlias = Callable[[str], str]

LEFT: Final = 44
RIGHT: Final = 348
TOP: Final = 12
BOTTOM: Final = 172
#: A smaller range counts as a single value.
_LEAST_SPAN: Final = 1e-9
_SPARK: Final = (112, 26)


class Words(NamedTuple):
    """Texts of a plot."""

    title: str
    about: str
    """Description for screen readers."""
    x: str
    """Label of the x axis."""
    y: str
    """Label of the y axis."""

    def adapted(self, adapt: Adapt) -> "Words":
        """Return the texts in the words of a catalogue."""
        return Words(*map(adapt, self))


class Series(NamedTuple):
    """Named line."""

    name: str
    kind: str
    """Class that gives the colour: now, before or other."""
    points: Sequence[tuple[float, float]]


class Tick(NamedTuple):
    """Mark on an axis."""

    at: float
    label: str


class Line(NamedTuple):
    """Line to draw."""

    name: str
    kind: str
    path: str
    end: tuple[float, float]
    dots: list[tuple[float, float]]
    """Points to draw, if there are too few to see a line."""


class LinePlot(NamedTuple):
    """Lines with common axes."""

    words: Words
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


class Bar(NamedTuple):
    """One bar, with its tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    tooltip: str


class BarPlot(NamedTuple):
    """Bars over named positions."""

    words: Words
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bars: list[Bar]
    names: list[tuple[str, str]]
    """Name and kind of each group, for the legend; empty for one group."""


class Spark(NamedTuple):
    """Trend of a metric over the kept runs."""

    path: str
    dots: list[tuple[float, float, str, str]]
    """x, y, kind (now, before or refused), tooltip."""


def line_plot(
    series: Sequence[Series],
    words: Words,
    *,
    log_x: bool = False,
    y_range: tuple[float | None, float | None] = (None, None),
    as_percent: bool = False,
) -> LinePlot:
    """Lay out lines.

    Args:
        series: lines; one without points is not drawn.
        words: texts of the plot.
        log_x: use a logarithmic x axis; all x must be above 0.
        y_range: limits of the y axis; None: from the points.
        as_percent: label y as percentages of shares.
    """
    drawn = [one for one in series if one.points]
    xs = [x for one in drawn for x, _ in one.points] or [0.0, 1.0]
    ys = [y for one in drawn for _, y in one.points] or [0.0, 1.0]
    low, high = y_range
    y_ticks = ticks(min(ys) if low is None else low, max(ys) if high is None else high)
    x_ticks = decades(max(xs)) if log_x else whole_ticks(min(xs), max(xs))
    bend = math.log if log_x else float
    across = _scale(bend(1.0 if log_x else min(xs)), bend(max(xs)), LEFT, RIGHT)
    down = _scale(y_ticks[0], y_ticks[-1], BOTTOM, TOP)
    return LinePlot(
        words,
        [Tick(across(bend(x)), f"{x:,.0f}") for x in x_ticks],
        [Tick(down(y), tick_label(y, y_ticks, as_percent=as_percent)) for y in y_ticks],
        [_line(one, [(across(bend(x)), down(y)) for x, y in one.points]) for one in drawn],
    )


def bar_plot(
    places: Sequence[str],
    groups: Sequence[tuple[str, str, Sequence[float]]],
    words: Words,
    *,
    as_percent: bool = False,
) -> BarPlot:
    """Lay out bars; the groups' bars at one position are neighbours.

    Args:
        places: labels of the positions, in order.
        groups: name, kind and one height for each position.
        words: texts of the plot.
        as_percent: label heights as percentages of shares.
    """
    y_ticks = ticks(0.0, max((h for _, _, heights in groups for h in heights), default=0.0))
    down = _scale(0.0, y_ticks[-1], BOTTOM, TOP)
    slot = (RIGHT - LEFT) / max(1, len(places))
    width = 0.84 * slot / max(1, len(groups))
    bars = []
    for group, (name, kind, heights) in enumerate(groups):
        for place, height in enumerate(heights):
            x = LEFT + slot * place + (slot - width * len(groups)) / 2 + width * group
            value = f"{100 * height:.1f} %" if as_percent else f"{height:,.0f}"
            tooltip = f"{places[place]}: {value}" + (f" ({name})" if len(groups) > 1 else "")
            top = down(height)
            size = round(width, 1), round(BOTTOM - top, 1)
            bars.append(Bar(round(x, 1), top, *size, kind, tooltip))
    return BarPlot(
        words,
        [Tick(round(LEFT + slot * (n + 0.5), 1), place) for n, place in enumerate(places)],
        [Tick(down(y), tick_label(y, y_ticks, as_percent=as_percent)) for y in y_ticks],
        bars,
        [(name, kind) for name, kind, _ in groups] if len(groups) > 1 else [],
    )


def spark(values: Sequence[tuple[float, str, str]]) -> Spark | None:
    """Lay out a trend without axes; the last value is this run's.

    Args:
        values: value, kind and tooltip, oldest first.

    Returns:
        The trend, None without a value. Differences below a hundredth of the value look flat.
    """
    if not values:
        return None
    width, height = _SPARK
    numbers = [value for value, _, _ in values]
    middle = (min(numbers) + max(numbers)) / 2
    span = max(max(numbers) - min(numbers), abs(middle) / 50, 1e-12)
    step = (width - 12) / max(1, len(values) - 1)
    spots = [
        (
            round(width - 6 - step * (len(values) - 1 - place), 1),
            round(height / 2 - (value - middle) / span * (height - 12), 1),
        )
        for place, value in enumerate(numbers)
    ]
    dots = [(x, y, kind, tip) for (x, y), (_, kind, tip) in zip(spots, values, strict=True)]
    return Spark(_path(spots) if len(spots) > 1 else "", dots)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers that enclose a range, at least two."""
    if not high - low > _LEAST_SPAN:
        high = low + (abs(low) if abs(low) > _LEAST_SPAN else 1.0)
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def whole_ticks(low: float, high: float) -> list[float]:
    """Return round whole numbers within a range."""
    inside = [t for t in ticks(low, high, 5) if low <= t <= high and float(t).is_integer()]
    return inside if len(inside) > 1 else sorted({low, high})


def decades(high: float) -> list[float]:
    """Return the powers of ten up to a number."""
    return [10.0**n for n in range(int(math.log10(max(1.0, high)) + 1e-9) + 1)]


def tick_label(value: float, among: Sequence[float], *, as_percent: bool = False) -> str:
    """Format a tick with the fewest decimals that distinguish all ticks."""
    scaled = [100 * tick if as_percent else tick for tick in among]
    places = next((n for n in range(9) if all(abs(round(t, n) - t) < 1e-9 for t in scaled)), 9)
    return f"{100 * value if as_percent else value:,.{places}f}" + (" %" if as_percent else "")


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """Return a linear scale; a value of an empty range is in the middle."""

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(first + share * (last - first), 1)

    return place


def _line(series: Series, spots: list[tuple[float, float]]) -> Line:
    few = spots if len(spots) <= 8 else []
    return Line(series.name, series.kind, _path(spots), spots[-1], few)


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in spots)
