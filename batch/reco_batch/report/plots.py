"""Small plots as plain geometry, which the template draws as SVG.

Hand-made rather than a library's: text stays text, colours follow the page into the dark, and a
plot is a few hundred bytes. Everything is in the units of a view box that is about as wide as a
phone, so that letters are as large as those around it. Pure functions.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

WIDTH: Final = 360
HEIGHT: Final = 210
LEFT: Final = 44
RIGHT: Final = 348
TOP: Final = 12
BOTTOM: Final = 172
#: What spans less is one value.
_LEAST_SPAN: Final = 1e-9
_SPARK: Final = (112, 26)


class Words(NamedTuple):
    """What is written at a plot."""

    title: str
    about: str
    """What it shows, for those who cannot see it."""
    x: str
    """Below."""
    y: str
    """Above the axis."""


class Series(NamedTuple):
    """A named line."""

    name: str
    kind: str  # class that gives the colour: now, before, other
    points: Sequence[tuple[float, float]]


class Tick(NamedTuple):
    """A mark on an axis."""

    at: float
    label: str


class Line(NamedTuple):
    """A line to draw."""

    name: str
    kind: str
    path: str
    end: tuple[float, float]
    dots: list[tuple[float, float]]
    """Its points, where it has too few for a line to be seen."""


class LinePlot(NamedTuple):
    """Lines over a common axis."""

    words: Words
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


class Bar(NamedTuple):
    """One bar, and what is said of it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    said: str


class BarPlot(NamedTuple):
    """Bars over named places."""

    words: Words
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    bars: list[Bar]
    names: list[tuple[str, str]]
    """Name and kind of each group, for the legend; empty for one group."""


class Spark(NamedTuple):
    """A figure's course over the kept nights."""

    path: str
    dots: list[tuple[float, float, str, str]]
    """x, y, kind (now, before, refused), what is said of it."""


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
        series: those that have points are drawn.
        words: what is written at it.
        log_x: equal steps multiply; all x must be above 0.
        y_range: where the y axis begins and ends; None: as the points have it.
        as_percent: whether y is a share.
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
    """Lay out bars, those of one place side by side.

    Args:
        places: names below, in their order.
        groups: name, kind and one height a place.
        words: what is written at it.
        as_percent: whether heights are shares.
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
            said = f"{places[place]}: {value}" + (f" ({name})" if len(groups) > 1 else "")
            top = down(height)
            bars.append(Bar(round(x, 1), top, round(width, 1), round(BOTTOM - top, 1), kind, said))
    return BarPlot(
        words,
        [Tick(round(LEFT + slot * (n + 0.5), 1), place) for n, place in enumerate(places)],
        [Tick(down(y), tick_label(y, y_ticks, as_percent=as_percent)) for y in y_ticks],
        bars,
        [(name, kind) for name, kind, _ in groups] if len(groups) > 1 else [],
    )


def spark(values: Sequence[tuple[float, str, str]]) -> Spark | None:
    """Lay out a course without axes; the last value is tonight's.

    Args:
        values: value, kind and what is said of it, oldest first.

    Returns:
        The course, None without a value. Differences below a hundredth of the value look flat.
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
    dots = [(x, y, kind, said) for (x, y), (_, kind, said) in zip(spots, values, strict=True)]
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
    """Write a tick's number with as few decimals as tell all ticks apart."""
    scaled = [100 * tick if as_percent else tick for tick in among]
    places = next((n for n in range(9) if all(abs(round(t, n) - t) < 1e-9 for t in scaled)), 9)
    return f"{100 * value if as_percent else value:,.{places}f}" + (" %" if as_percent else "")


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """Return where a value between `low` and `high` stands; where there is no span, half way."""

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(first + share * (last - first), 1)

    return place


def _line(series: Series, spots: list[tuple[float, float]]) -> Line:
    few = spots if len(spots) <= 8 else []
    return Line(series.name, series.kind, _path(spots), spots[-1], few)


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in spots)
