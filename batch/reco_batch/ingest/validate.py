"""Validation of the input: schema checks with pandera, then one `Dataset`.

Input that no run should be trained on is refused. Faults with one obvious repair are repaired, and
every repair is counted in the findings. Pure functions from frames to arrays.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from reco_batch.data import columns as c
from reco_batch.data.dataset import Dataset, Events, Findings, Movies, Ratings
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows, Fault, no_rows
from reco_batch.ingest.conversion.item_columns import item_columns
from reco_batch.ingest.conversion.tags import separator_of, split_tags
from reco_batch.ingest.events import (
    codes_of,
    folded,
    kinds_of,
    require_kinds,
    sign_note,
    values_of,
)
from reco_batch.ingest.formats.table_file import RowLocator, RowNumbers
from reco_batch.ingest.readers import RawTables
from reco_batch.ingest.table_reader import used_only
from reco_batch.settings.input_keys import Counting

_YEAR = re.compile(r"\((\d{4})\)\s*$")
#: Start of the year 2100, in seconds since 1970; larger times are probably milliseconds.
_YEAR_2100 = 4_102_444_800
#: Numbers in parentheses at the end of a title that are years.
_YEARS = range(1870, 2100)
#: Tolerance for clocks and time zones; ratings dated later are in the future.
_CLOCK_TOLERANCE_SECONDS = 86_400
#: With a larger share of future ratings, this machine's clock or the unit of time is wrong.
_LARGEST_FUTURE_SHARE = 0.1


def build_dataset(
    raw: RawTables,
    *,
    rating_scale: tuple[float, float],
    max_unknown_ratings: float = 0.1,
    counting: Counting | None = None,
    now: datetime | None = None,
    source: Mapping[str, object] | None = None,
) -> Dataset:
    """Check both tables and turn them into arrays.

    Args:
        raw: the tables from the files.
        rating_scale: lowest and highest rating that may occur, in stars.
        max_unknown_ratings: share of ratings, 0 to 1, that may be of movies without a row.
        counting: how events become interactions; None if the ratings are no events.
        now: time of the run; ratings dated later are in the future. None: all dates are accepted.
        source: origin of the tables, for the manifest.

    Returns:
        The data set, its findings filled in.

    Raises:
        DataRefused: more rows than the limit are bad, or the files do not belong together; with
            file, line and value of the first bad row.

    Cost:
        O(N log N) time for N ratings, for one sort that finds repeated pairs; 60 bytes a rating in
        addition to the tables.
    """
    raw, bad = _without_bad_rows(raw, rating_scale)
    rejected = bad.judged(_lines(raw))
    _require_rows(raw)
    try:
        require_kinds(kinds_of(raw.ratings), counting, raw.ratings_file)
        _require_ages(raw, counting)
        movies, unknown_ratings = _movies(raw, max_unknown_ratings)
        future = _future(raw, now)
    except DataRefused as error:
        raise _at_its_line(error, raw) from error
    user_ids, user_index = _index_users(raw.ratings[c.USER_ID])
    all_ratings = Ratings(
        user_index,
        _index_movies(raw.ratings[c.MOVIE_ID], movies),
        raw.ratings[c.RATING].to_numpy(np.float32) if c.RATING in raw.ratings else None,
        _times(raw.ratings, future) if c.TIMESTAMP in raw.ratings else None,
    )
    kept = _latest_of_each_pair(all_ratings, len(movies))
    ratings = all_ratings if kept is None else all_ratings.take(kept)
    events = None
    if counting is not None:
        ratings, events = _counted(raw, all_ratings, ratings, kept, counting)
    rated = np.bincount(ratings.movie_index, minlength=len(movies)) > 0
    findings = Findings(
        notes=(*raw.notes, *_genre_note(raw), *_sign_note(raw, counting)),
        rejected=rejected,
        ratings_read=len(all_ratings),
        without_stars=all_ratings.rating is None,
        kinds=kinds_of(raw.ratings),
        adds_up=counting is not None,
        duplicates_dropped=len(all_ratings) - len(ratings),
        future_ratings=len(future),
        first_future_line=_line_of(raw, future[0]) if len(future) else 0,
        ratings_of_unknown_movies=unknown_ratings,
        unknown_movies=movies.unlisted,
        movies_without_ratings=int((~rated).sum()),
        words=raw.words,
    )
    first = _first_times(all_ratings, len(user_ids))
    source = dict(source or {})
    return Dataset(user_ids, movies, ratings, rating_scale, findings, source, events, first)


def _counted(
    raw: RawTables,
    events: Ratings,
    newest: Ratings,
    kept: NDArray[np.int64] | None,
    counting: Counting,
) -> tuple[Ratings, Events | None]:
    """Return interactions with the strength of all of their events, and the kinds of these.

    Args:
        raw: tables without bad rows.
        events: all events.
        newest: the newest event of each user and movie.
        kept: rows of these; None: all.
        counting: how events add up.
    """
    strength, latest = folded(
        events.user_index.astype(np.int64) << 32 | events.movie_index,
        values_of(raw.ratings, counting),
        kept=kept,
        seconds=events.timestamp,
        codes=codes_of(raw.ratings, counting),
        counting=counting,
    )
    is_target = strength > 0
    found, target_time = None, None
    if counting.weights:
        found = Events(tuple(counting.weights), latest, counting.seen, counting.target)
        of_target = found.of(counting.target)
        is_target &= of_target > 0
        if newest.timestamp is not None and (of_target != newest.timestamp + 1).any():
            target_time = of_target.astype(np.int64) - 1
    if not is_target.any():
        raise DataRefused(
            "no user has an item with a strength above 0 that is to be predicted",
            "some",
            "Check the weights of the events.",
            raw.ratings_file,
        )
    is_alike = bool((strength == strength[0]).all())  # and above 0, since some are
    scaled = (strength / strength[strength > 0].mean()).astype(np.float32)
    ratings = replace(
        newest,
        strength=None if is_alike else scaled,
        is_target=None if is_target.all() else is_target,
        target_time=target_time,
    )
    return ratings, found


def _require_ages(raw: RawTables, counting: Counting | None) -> None:
    """Refuse a half-life of events without times."""
    if counting is not None and counting.half_life and c.TIMESTAMP not in raw.ratings:
        raise DataRefused(
            "the events have no time, and half_life counts their age",
            "a column of times",
            "Name it as time in [input.columns], or remove half_life.",
            raw.ratings_file,
        )


def all_faults(
    raw: RawTables,
    *,
    rating_scale: tuple[float, float],
    max_unknown_ratings: float,
    counting: Counting | None = None,
    now: datetime | None,
) -> list[DataRefused]:
    """Return every fault for which `build_dataset` would refuse the tables; see there."""
    good, bad = _without_bad_rows(raw, rating_scale)
    frames = {good.ratings_file: good.ratings, good.movies_file: good.movies}
    empty = [file for file, frame in frames.items() if not len(frame)]
    found = bad.faults(_lines(raw), empty) if len(bad) > bad.limit else []
    explained = {fault.file for fault in bad.counts} if found else set()
    if empty:
        return found + [no_rows(file) for file in empty if file not in explained]
    checks: tuple[Callable[[], object], ...] = (
        lambda: require_kinds(kinds_of(good.ratings), counting, good.ratings_file),
        lambda: _require_ages(good, counting),
        lambda: _movies(good, max_unknown_ratings),
        lambda: _future(good, now),
    )
    for check in checks:
        try:
            check()
        except DataRefused as error:
            found.append(_at_its_line(error, raw))
    return found


def _lines(raw: RawTables) -> dict[str, RowLocator]:
    files = (raw.ratings_file, raw.movies_file)
    return {file: raw.lines.get(file) or RowNumbers(file) for file in files}


def _require_rows(raw: RawTables) -> None:
    for frame, file in ((raw.ratings, raw.ratings_file), (raw.movies, raw.movies_file)):
        if not len(frame):
            raise no_rows(file)


def _without_bad_rows(raw: RawTables, scale: tuple[float, float]) -> tuple[RawTables, BadRows]:
    """Leave out bad rows, and return them with those that could not be read."""
    bad = BadRows() if raw.bad is None else copy.deepcopy(raw.bad)
    suspects = raw.ratings[_suspicious(raw.ratings, scale)]
    ratings, movies = raw.ratings, raw.movies
    if len(suspects):
        wrong = _failures(_ratings_schema(raw.ratings, scale), suspects, raw, raw.ratings_file, bad)
        ratings = used_only(ratings[~ratings.index.isin(wrong)])
    if _has_suspicious(movies):
        own_id = raw.label(raw.movies_file, c.MOVIE_ID)
        wrong = _failures(_movies_schema(own_id), movies, raw, raw.movies_file, bad)
        movies = movies[~movies.index.isin(wrong)] if len(wrong) else movies
    return raw._replace(ratings=ratings, movies=movies), bad


def _at_its_line(error: DataRefused, raw: RawTables) -> DataRefused:
    """Return a refusal with the actual line of its row."""
    if error.file is None or error.file not in raw.lines or error.line is None:
        return error
    location = raw.lines[error.file].locate([error.line - 2])[error.line - 2]
    return DataRefused(error.found, error.expected, error.remedy, location.file, location.line)


def _line_of(raw: RawTables, position: int) -> int:
    """Return the line of a rating in the file, given its position in the table."""
    label = int(raw.ratings.index[position])
    lines = raw.lines.get(raw.ratings_file)
    return label if lines is None else lines.locate([label - 2])[label - 2].line


def _suspicious(frame: pd.DataFrame, scale: tuple[float, float]) -> NDArray[np.bool_]:
    """Return the rows that some check may refuse, [N].

    A look at whole columns, so that the checks, which take microseconds a row and name what they
    find, need to look at the rest only.
    """
    lowest, highest = scale
    wrong = np.zeros(len(frame), bool)
    if c.RATING in frame:
        rating = frame[c.RATING].to_numpy()
        wrong |= ~((rating >= lowest) & (rating <= highest))  # NaN is neither
    for column in (c.USER_ID, c.MOVIE_ID):
        named = np.append(np.asarray(frame[column].cat.categories != ""), False)
        if not named[:-1].all() or frame[column].hasnans:
            wrong |= ~named[frame[column].cat.codes.to_numpy()]  # code -1: no id
    if c.WEIGHT in frame:
        wrong |= ~np.isfinite(frame[c.WEIGHT].to_numpy())
    if c.TIMESTAMP in frame:
        seconds = frame[c.TIMESTAMP].to_numpy()
        wrong |= ~((seconds >= 0) & (seconds < _YEAR_2100))
    return wrong


def _has_suspicious(movies: pd.DataFrame) -> bool:
    """Return whether some check may refuse a movie, as `_suspicious` does for ratings."""
    columns = [movies[c.MOVIE_ID], movies[c.TITLE]]
    return bool(
        columns[0].duplicated().any()
        or not all(map(_is_text, columns))
        or any((column.isna() | (column == "")).any() for column in columns)
    )


def _is_text(column: pd.Series) -> bool:
    dtype = column.dtype
    dtype = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    return isinstance(dtype, pd.StringDtype)


def _not_empty(ids: pd.Series) -> "pd.Series[bool]":
    return ids.astype(str).str.len() > 0


def _ratings_schema(frame: pd.DataFrame, scale: tuple[float, float]) -> pa.DataFrameSchema:
    an_id = pa.Check(_not_empty, error="an id that is not empty")
    lowest, highest = scale
    in_scale = pa.Check.in_range(
        lowest, highest, error=f"a rating from {lowest:g} to {highest:g} (see --rating-scale)"
    )
    schema = {
        c.USER_ID: pa.Column(checks=an_id),
        c.MOVIE_ID: pa.Column(checks=an_id),
    }
    if c.RATING in frame:
        schema[c.RATING] = pa.Column(float, checks=in_scale)
    if c.WEIGHT in frame:
        finite = pa.Check(np.isfinite, error="a finite number")
        schema[c.WEIGHT] = pa.Column(float, checks=finite)
    if c.TIMESTAMP in frame:
        checks = [
            pa.Check.ge(0, error="seconds since 1970, not negative"),
            pa.Check.lt(_YEAR_2100, error="seconds since 1970, before the year 2100"),
        ]
        schema[c.TIMESTAMP] = pa.Column("int64", checks=checks)
    return pa.DataFrameSchema(schema)


def _movies_schema(own_id: str) -> pa.DataFrameSchema:
    """Return the checks of the movies table, whose ids are in the column `own_id`."""
    return pa.DataFrameSchema(
        {
            c.MOVIE_ID: pa.Column(
                str,
                checks=[
                    pa.Check(_not_empty, error="an id that is not empty"),
                    pa.Check(lambda ids: ~ids.duplicated(), error=f"each {own_id} only once"),
                ],
            ),
            c.TITLE: pa.Column(str, checks=pa.Check(_not_empty, error="a title")),
        }
    )


def _failures(
    schema: pa.DataFrameSchema, frame: pd.DataFrame, raw: RawTables, file: str, bad: BadRows
) -> NDArray[np.int64]:
    """Validate a table, record rows that fail as bad rows, and return their indices, [F]."""
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        failures = errors.failure_cases
        located = failures[failures["index"].notna()].sort_values("index", kind="stable")
        located = located.drop_duplicates("index")
        for (column, check), rows in located.groupby(["column", "check"], sort=False):
            expected = "a value" if check == "not_nullable" else str(check)
            index = rows["index"].to_numpy(np.int64)
            label = raw.label(file, str(column))
            found_in = _describing(label, rows["failure_case"].tolist())
            bad.add(Fault(file, label, expected), index - 2, found_in)
        found: NDArray[np.int64] = located["index"].to_numpy(np.int64)
        return found
    return np.empty(0, np.int64)


def _describing(column: str, cases: Sequence[object]) -> Callable[[int], str]:
    return lambda at: f"{column} is {_plain(cases[at])!r}"


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _future(raw: RawTables, now: datetime | None) -> NDArray[np.int64]:
    """Return the positions of ratings dated in the future, ascending.

    Raises:
        DataRefused: there are too many to be explained by the clock of one client.
    """
    if now is None or c.TIMESTAMP not in raw.ratings:
        return np.empty(0, np.int64)
    seconds = raw.ratings[c.TIMESTAMP].to_numpy()
    future = np.flatnonzero(seconds > now.timestamp() + _CLOCK_TOLERANCE_SECONDS)
    if len(future) > _LARGEST_FUTURE_SHARE * len(seconds):
        first = datetime.fromtimestamp(int(seconds[future[0]]), UTC)
        raise DataRefused(
            f"timestamp {seconds[future[0]]} is {first:%Y-%m-%d %H:%M} UTC, and this machine's "
            f"clock shows {now.astimezone(UTC):%Y-%m-%d %H:%M}; {len(future):,} of "
            f"{len(seconds):,} {raw.words.interactions} are dated after it",
            f"at most {_LARGEST_FUTURE_SHARE:.0%}",
            "Set this machine's clock, or write times as seconds since 1970, UTC.",
            raw.ratings_file,
            int(raw.ratings.index[future[0]]),
        )
    return future


def _times(ratings: pd.DataFrame, future: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return times in seconds since 1970; future times become the newest past time."""
    seconds = ratings[c.TIMESTAMP].to_numpy(np.int64)
    if not len(future):
        return seconds
    seconds = seconds.copy()
    seconds[future] = np.delete(seconds, future).max()
    return seconds


def _movies(raw: RawTables, max_unknown_ratings: float) -> tuple[Movies, int]:
    """Return all movies, unlisted ones at the end, and the number of ratings of the latter."""
    listed = raw.movies[c.MOVIE_ID].tolist()
    known = set(listed)
    # By their first rating, so that the row of a movie does not depend on hashing.
    unknown = [one for one in raw.ratings[c.MOVIE_ID].cat.categories.tolist() if one not in known]
    ratings_of_unknown = int(raw.ratings[c.MOVIE_ID].isin(unknown).sum()) if unknown else 0
    if ratings_of_unknown > max_unknown_ratings * len(raw.ratings):
        line = raw.ratings.index[raw.ratings[c.MOVIE_ID].isin(unknown)][0]
        raise DataRefused(
            f"{raw.label(raw.ratings_file, c.MOVIE_ID)} {raw.ratings[c.MOVIE_ID].loc[line]!r} is "
            f"one of {len(unknown):,} that {raw.movies_file} lacks; {ratings_of_unknown:,} of "
            f"{len(raw.ratings):,} {raw.words.adapt('ratings are of such movies')}",
            f"at most {100 * max_unknown_ratings:g}%",
            "Check that the two files are of the same data set; if these "
            f"{raw.words.items} were removed from the catalogue, raise --max-unknown-ratings.",
            raw.ratings_file,
            int(line),
        )
    titles = [*raw.movies[c.TITLE], *unknown]
    listed_genres = (
        raw.movies[c.GENRES].fillna("").tolist() if c.GENRES in raw.movies else [""] * len(listed)
    )
    separator = separator_of(listed_genres)
    genres = [*listed_genres, *[""] * len(unknown)]
    tags = {text: split_tags(text, separator) for text in set(genres)}  # many have the same
    further = item_columns(raw.movies, unlisted=len(unknown))
    movies = Movies(
        ids=(*listed, *unknown),
        titles=tuple(titles),
        genres=tuple(tags[text] for text in genres),
        years=tuple(_year(title) for title in titles),
        unlisted=len(unknown),
        **further._asdict(),
    )
    return movies, ratings_of_unknown


def _sign_note(raw: RawTables, counting: Counting | None) -> tuple[str, ...]:
    return sign_note(raw.ratings, counting, raw.label(raw.ratings_file, c.WEIGHT))


def _genre_note(raw: RawTables) -> tuple[str, ...]:
    if c.GENRES not in raw.movies:
        return (f"{raw.movies_file} has no column 'genres': no {raw.words.item} has any",)
    separator = separator_of(raw.movies[c.GENRES].fillna("").tolist())
    if separator == "|":
        return ()
    return (f"{raw.movies_file}: genres are separated by {separator!r}, since none has a '|'",)


def _year(title: str) -> int | None:
    found = _YEAR.search(title)
    return int(found.group(1)) if found and int(found.group(1)) in _YEARS else None


def _index_users(ids: "pd.Series[str]") -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Number the users in the order of their ids as strings."""
    codes = ids.cat.codes.to_numpy()
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids.cat.categories)))
    names = ids.cat.categories[used].tolist()
    order = sorted(range(len(names)), key=names.__getitem__)
    index_of_code = np.zeros(len(ids.cat.categories), np.int32)
    index_of_code[used[order]] = np.arange(len(order))
    return tuple(names[at] for at in order), index_of_code[codes]


def _index_movies(ids: "pd.Series[str]", movies: Movies) -> np.ndarray:
    row_of_category = pd.Index(movies.ids).get_indexer(ids.cat.categories).astype(np.int32)
    return row_of_category[ids.cat.codes.to_numpy()]


def _first_times(ratings: Ratings, user_count: int) -> NDArray[np.int64] | None:
    """Return the time of each user's first rating, [U]; None without times."""
    if ratings.timestamp is None:
        return None
    first = np.full(user_count, np.iinfo(np.int64).max)
    np.minimum.at(first, ratings.user_index, ratings.timestamp)
    return first


def _latest_of_each_pair(ratings: Ratings, movie_count: int) -> NDArray[np.int64] | None:
    """Return the rows to keep, in file order: the latest of each user and movie; None: all.

    Among equal timestamps, and without timestamps, the later row is kept.
    """
    pair = ratings.user_index.astype(np.int64) * movie_count + ratings.movie_index
    ordered = np.sort(pair)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return None
    nearest = np.minimum(np.searchsorted(repeated, pair), len(repeated) - 1)
    rows = np.flatnonzero(repeated[nearest] == pair)
    keys = (rows,) if ratings.timestamp is None else (rows, ratings.timestamp[rows])
    by_pair = rows[np.lexsort((*keys, pair[rows]))]
    last = np.append(pair[by_pair[1:]] != pair[by_pair[:-1]], True)
    kept = np.ones(len(pair), bool)
    kept[by_pair[~last]] = False
    return np.flatnonzero(kept)
