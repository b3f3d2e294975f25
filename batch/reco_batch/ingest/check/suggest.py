"""Suggestion of an [input] for tables whose columns have other names."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.conversion.type_matrix import cell_of, convert
from reco_batch.ingest.formats.table_file import ReadAgain, ReadMode, ReadRequest, TableFile
from reco_batch.ingest.tables import KEYS, Table
from reco_batch.settings.input_keys import NOT, Counting

#: Columns with more different values hardly have kinds of events.
_MOST_KINDS: Final = 20
_RETURNS: Final = "return|refund|cancel"
#: Words in the name of a kind -> its suggested weight; the first that fits.
_WEIGHTS: Final = tuple(
    (re.compile(words, re.IGNORECASE), weight)
    for words, weight in (
        (_RETURNS, -5.0),  # as much as what it takes back
        ("remove|dislike|unlike|skip", -2.0),
        ("purchase|buy|bought|order|transaction|sale|paid", 5.0),
        ("cart|basket|wish|fav|like|save|rent", 3.0),
    )
)


def suggested_columns(tables: Sequence[Table], files: Sequence[TableFile | None]) -> dict[str, str]:
    """Return the keys of [input.columns] that would fit, with the names of the columns.

    Args:
        tables: the ratings table and the items table, as they are configured.
        files: a file of each; None if it could not be opened.

    Returns:
        Key -> name. Keys that are set, and columns that have their usual name, are left out.
    """
    found: dict[str, str] = {}
    for table, file in zip(tables, files, strict=True):
        if file is None:
            continue
        kinds = {
            **table.columns,
            **(c.MAPPED_MOVIES if table.keeps_others else c.MAPPED_RATINGS),
        }
        places = table.places(file.column_names)
        others = table.others(file.column_names)
        wanted = [one for one in kinds if one not in places and one not in table.mapped]
        guesses = {column: name for name, column in c.guessed(others, wanted).items()}
        if table.keeps_others and c.MOVIE_ID in wanted:
            guesses |= _id(others, found.get("item") or tables[0].names[c.MOVIE_ID])
        if table.keeps_others and c.AVAILABLE in wanted and c.AVAILABLE not in guesses:
            gone = c.guessed_unavailable(others)
            guesses |= {c.AVAILABLE: f"{NOT}{gone}"} if gone else {}
        for column, name in _readable(guesses, kinds, file).items():
            key = table.key(column) if column != c.MOVIE_ID or not table.keeps_others else "id"
            found[key] = name
    if (
        c.RATING in tables[0].columns
        and files[0]
        and tables[0].places(files[0].column_names).get(c.RATING)
    ):
        found = {key: name for key, name in found.items() if key not in ("event", "weight")}
    if "event" in found:  # events have no stars, so a column such as value has none either
        found.pop("rating", None)
    if found.get("id") == found.get("item", tables[0].names[c.MOVIE_ID]):
        found.pop("id", None)
    return {key: found[key] for key in (*KEYS.values(), "id") if key in found}


def suggested_weights(file: TableFile | None, column: str | None) -> dict[str, float]:
    """Return a weight for each kind of event in a column, by its name.

    Args:
        file: a file of the ratings table.
        column: name of the column that probably has the kinds.

    Returns:
        Kind -> weight, rising; empty if the column cannot be read, or has values of another sort.
    """
    if file is None or column is None or not (at := c.matched(file.column_names, [column])):
        return {}
    request = ReadRequest(
        {c.EVENT: at[column][0]}, {c.EVENT: c.Kind.ID}, ReadMode(), lambda _: None
    )
    kinds: set[str] = set()
    try:
        for batch in file.batches(request):
            found = convert(c.Kind.ID, batch.column(0), coded=file.is_text).array
            kinds.update(one for one in found.dictionary.to_pylist() if one != c.plain(column))
            if len(kinds) > _MOST_KINDS:
                return {}
    except (DataRefused, ReadAgain, pa.ArrowException, OSError):
        return {}  # the reader of the whole table reports the fault
    weights = {kind: _usual_weight(kind) for kind in sorted(kinds)}
    return dict(sorted(weights.items(), key=lambda one: one[1]))


def partial_returns(counting: Counting | None) -> tuple[str, ...]:
    """Return a note for each kind of return that weighs less than what it takes back."""
    if counting is None or not counting.target:
        return ()
    bought = min(counting.target, key=lambda kind: counting.weights[kind])
    weight = counting.weights[bought]
    return tuple(
        f"{kind} = {own:g} takes back a part of {bought} = {weight:g}: what was returned still "
        f"counts as chosen; with {-weight:g} it does not"
        for kind, own in counting.weights.items()
        if -weight < own < 0 and re.search(_RETURNS, kind, re.IGNORECASE)
    )


def _usual_weight(kind: str) -> float:
    return next((weight for words, weight in _WEIGHTS if words.search(kind)), 1)


def _id(names: Sequence[str], item: str) -> dict[str, str]:
    """Return the id of the items table: the name in the ratings table, or `id` for `product_id`."""
    by_name = {c.plain(name).lower(): name for name in reversed(names)}
    usual = [item.lower(), *(["id"] if re.search(r"id$", item, re.IGNORECASE) else [])]
    same = next((by_name[one] for one in usual if one in by_name), None)
    return {c.MOVIE_ID: same} if same else {}


def _readable(
    guesses: Mapping[str, str], kinds: Mapping[str, c.Kind], file: TableFile
) -> dict[str, str]:
    """Return the guesses whose columns have a type that can be read."""
    if file.column_types is None:
        return dict(guesses)
    types = dict(zip(file.column_names, file.column_types, strict=True))
    return {
        column: name
        for column, name in guesses.items()
        if cell_of(kinds[column], types[name.removeprefix(NOT)]).convert is not None
    }
