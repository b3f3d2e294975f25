"""Rules of reco.toml, checked against the movies and turned into arrays.

Shapes: I listed movies, W values of a movie.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.data.dataset import NO_TIME, SECONDS_PER_DAY, Dataset, Movies
from reco_batch.errors import DataRefused
from reco_batch.rules.list_rules import NO_RULES, Cap, ListRules, NewMovies
from reco_batch.settings.rules import Arrivals, Condition, RulesKeys
from reco_batch.settings.rules import Cap as CapKeys
from reco_store import UsageError
from reco_store.contract.words import Words

#: Values of a column that a refusal lists.
_SHOWN: Final = 10


class CompiledRules(NamedTuple):
    """Rules for each kind of list."""

    user: ListRules
    """For the user lists: all rules."""
    offered: ListRules
    """For every other list: which movies may be shown."""
    repeat_days: float | None = None
    """Days after which lists may show a movie of the history again; None for never."""
    notes: tuple[str, ...] = ()
    """Sentences about rules that change nothing."""

    @property
    def eligible(self) -> NDArray[np.bool_] | None:
        """Movies that lists may show, [I]; None: all."""
        return self.offered.eligible


def compiled(rules: RulesKeys, dataset: Dataset) -> CompiledRules:
    """Return the rules of a run as arrays over the listed movies.

    Args:
        rules: the settings.
        dataset: input of the run.

    Raises:
        UsageError: a rule names a column that the movies table lacks, or compares text with a
            number, or needs times that the data lack.
        DataRefused: no movie may be shown.
    """
    movies = dataset.movies.catalogue
    words = dataset.words
    columns = _Columns(movies, words)
    notes = list[str]()
    eligible = _eligible(rules, movies, columns, notes)
    user = ListRules(
        eligible,
        _boost(rules, columns, notes),
        tuple(_cap(cap, columns, place) for place, cap in enumerate(rules.cap)),
        None if rules.new is None else _new(rules.new, dataset),
        rules.diversity,
        repeats=rules.repeat_days is not None,
    )
    if rules.new is not None and user.new is not None and not len(user.new.movie_index):
        notes.append(
            words.adapt("rules.new: no movie is new and has few ratings, so no place is kept")
        )
    _require_times(rules, dataset)
    offered = NO_RULES if eligible is None else ListRules(eligible)
    return CompiledRules(user, offered, rules.repeat_days, tuple(notes))


class _Columns:
    """Columns of the movies that a rule can name, without regard to case."""

    def __init__(self, movies: Movies, words: Words) -> None:
        self.words = words
        self._count = len(movies)
        self._columns: Mapping[str, Any] = {
            c.MOVIE_ID: movies.ids,
            c.TITLE: movies.titles,
            c.GENRES: movies.genres,
            c.YEAR: np.array([np.nan if y is None else y for y in movies.years], np.float64),
            **movies.attributes,
        }
        self._names = {name.lower(): name for name in self._columns}

    def meeting(self, condition: Condition, label: str, notes: list[str]) -> NDArray[np.bool_]:
        """Return the movies that meet a condition, [I]; a note is added about unknown values."""
        values = self._named(condition.column, label)
        met = np.ones(self._count, np.bool_)
        if condition.values is not None:
            met &= self._among(values, condition.values, f"{label}: {condition.column}", notes)
        if condition.at_least is not None or condition.at_most is not None:
            numbers = self._numbers(values, condition.column, label)
            low = -np.inf if condition.at_least is None else condition.at_least
            high = np.inf if condition.at_most is None else condition.at_most
            met &= (numbers >= low) & (numbers <= high)  # NaN is neither
        return met

    def coded(self, column: str, label: str) -> NDArray[np.int32]:
        """Return the values of each movie as numbers, [I, W]; -1 for no further value."""
        texts = [_texts(value) for value in self._named(column, label)]
        number: dict[str, int] = {}
        width = max(1, max(map(len, texts), default=1))
        codes = np.full((self._count, width), -1, np.int32)
        for row, own in zip(codes, texts, strict=True):
            row[: len(own)] = [number.setdefault(text, len(number)) for text in own]
        return codes

    def _named(self, column: str, label: str) -> Sequence[Any] | NDArray[np.float64]:
        name = self._names.get(column.strip().lower())
        if name is None:
            near = difflib.get_close_matches(column, self._columns, n=1)
            hint = f" Is it {near[0]!r}?" if near else ""
            raise UsageError(
                f"{label}: the {self.words.items} have no column {column!r}; expected one of "
                f"{', '.join(self._columns)}.{hint} Correct the rule in reco.toml, or the table."
            )
        found: Sequence[Any] | NDArray[np.float64] = self._columns[name]
        return found

    def _among(
        self,
        values: Sequence[Any] | NDArray[np.float64],
        wanted: Sequence[Any],
        label: str,
        notes: list[str],
    ) -> NDArray[np.bool_]:
        texts = {text for one in wanted for text in _texts(one)}
        own = [set(_texts(value)) for value in values]
        known = set[str]().union(*own)
        for missing in sorted(texts - known):
            near = difflib.get_close_matches(missing, sorted(known), n=1)
            hint = f"; the nearest value is {near[0]!r}" if near else ""
            notes.append(f"{label}: no {self.words.item} has the value {missing!r}{hint}")
        return np.array([not texts.isdisjoint(one) for one in own], np.bool_)

    def _numbers(
        self, values: Sequence[Any] | NDArray[np.float64], column: str, label: str
    ) -> NDArray[np.float64]:
        if isinstance(values, np.ndarray):
            return values
        numbers = np.full(self._count, np.nan)
        for place, value in enumerate(values):
            try:
                numbers[place] = np.nan if value is None else float(value)
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"{label}: {column} of {self.words.adapt('a movie')} is {value!r}, which is no "
                    "number; expected a column of numbers for at_least and at_most. Use values "
                    "instead."
                ) from error
        return numbers


def _texts(value: object) -> tuple[str, ...]:
    """Return the values of a cell as text; whole numbers have no fraction."""
    if isinstance(value, tuple):
        return tuple(map(str, value))
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return ()
    return (f"{value:.15g}" if isinstance(value, float | int) else str(value).strip(),)


def _eligible(
    rules: RulesKeys, movies: Movies, columns: _Columns, notes: list[str]
) -> NDArray[np.bool_] | None:
    """Return the movies that lists may show, [I]; None for all."""
    if movies.available is None and not rules.only and not rules.never:
        return None
    eligible = np.ones(len(movies), np.bool_)
    for what, met in _steps(rules, movies, columns, notes):
        left = eligible & met
        if not left.any():
            items = columns.words.items
            raise DataRefused(
                f"{what} leaves none of the {int(eligible.sum()):,} {items} that lists may show",
                "at least one",
                f"Correct the rule in reco.toml, or the column in the {items} table.",
            )
        eligible = left
    return eligible


def _steps(
    rules: RulesKeys, movies: Movies, columns: _Columns, notes: list[str]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the label of each rule on eligibility, and the movies that it allows, [I]."""
    if movies.available is not None:
        yield f"the column {c.AVAILABLE}", movies.available
    for place, condition in enumerate(rules.only):
        label = _label("only", place)
        yield label, columns.meeting(condition, label, notes)
    for place, condition in enumerate(rules.never):
        label = _label("never", place)
        yield label, ~columns.meeting(condition, label, notes)


def _boost(rules: RulesKeys, columns: _Columns, notes: list[str]) -> NDArray[np.float32] | None:
    """Return the sum of all boosts of each movie, in standard deviations; None without any."""
    total: NDArray[Any] | None = None
    for place, boost in enumerate(rules.boost):
        met = columns.meeting(boost, _label("boost", place), notes)
        total = boost.by * met + (0 if total is None else total)
    return None if total is None else total.astype(np.float32)


def _cap(cap: CapKeys, columns: _Columns, place: int) -> Cap:
    return Cap(columns.coded(cap.column, _label("cap", place)), cap.at_most, cap.first)


def _new(rule: Arrivals, dataset: Dataset) -> NewMovies:
    """Return the movies that were released lately, before the newest rating, and are rated little.

    Raises:
        UsageError: the movies have no release, or the ratings no time.
    """
    movies, times = dataset.movies.catalogue, dataset.ratings.timestamp
    if movies.released is None:
        raise UsageError(
            f"rules.new: the {dataset.words.items} have no column {c.RELEASED}; expected one with "
            f"the date of each {dataset.words.item}'s release. Name it as released in "
            "[input.columns], or remove [rules.new] from reco.toml."
        )
    if times is None:
        raise _without_times("rules.new", dataset)
    count = np.bincount(dataset.ratings.movie_index, minlength=len(movies))[: len(movies)]
    oldest = int(times.max(initial=0)) - rule.days * SECONDS_PER_DAY
    is_new = (movies.released != NO_TIME) & (movies.released > oldest)
    chosen = np.flatnonzero(is_new & (count <= rule.most_ratings))
    return NewMovies(chosen.astype(np.int32), rule.share)


def _require_times(rules: RulesKeys, dataset: Dataset) -> None:
    """Refuse a rule on repetition whose days cannot be counted."""
    if rules.repeat_days and dataset.ratings.timestamp is None:
        raise _without_times(f"rules.seen = {rules.seen!r}", dataset)


def _without_times(label: str, dataset: Dataset) -> UsageError:
    return UsageError(
        f"{label}: the {dataset.words.interactions} have no times; expected a column "
        f"{c.TIMESTAMP}. Add it, or remove the rule from reco.toml."
    )


def _label(kind: str, place: int) -> str:
    """Return the name of a rule, by its place in the file."""
    return f"rules.{kind} number {place + 1}"
