"""Page of `batch check-data`: what was understood of the input, all problems, and a suggestion."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import pandas as pd

from reco_batch.data import columns as c
from reco_batch.ingest.check.judge import Judged
from reco_batch.ingest.events import kinds_of
from reco_batch.ingest.formats.table_file import TableFile
from reco_batch.ingest.readers import RawTables
from reco_batch.ingest.table_reader import OpenTable
from reco_batch.settings.address import mask_address
from reco_batch.settings.input_keys import NOT, InputKeys
from reco_batch.settings.toml_template import toml_text
from reco_terminal.console import printable

_SHOWN_VALUES: Final = 3
_SHOWN_CHARACTERS: Final = 30
_SHOWN_KINDS: Final = 20
_STEMS: Final = ("ratings", "items")


def page(judged: Judged, places: InputKeys) -> str:
    """Return the page, for a terminal or a file."""
    lines: list[str] = []
    for number, file in enumerate(judged.files):
        opened = next((one for one in judged.opened if _is_of(one, number)), None)
        if opened is not None:
            lines += _understood(opened, judged.raw, number, places.events)
        elif file is not None:
            lines += _not_understood(file, number)
    lines += _found(judged)
    lines += [f"note: {one}" for one in judged.weight_notes]
    if judged.suggestion or judged.weights:
        suggested = suggestion(judged.suggestion, places, judged.weights)
        lines += ["", "suggested for reco.toml:", "", *suggested]
    problems = [f"problem {number}: {text}" for number, text in enumerate(judged.problems, 1)]
    lines += ["", *(problems or ["no problem: `batch run` can use this input"])]
    return "\n".join(map(printable, lines)).strip("\n")


def suggestion(
    columns: Mapping[str, str], places: InputKeys, weights: Mapping[str, float]
) -> Iterator[str]:
    """Yield the lines of [input] with suggested columns, and weights of kinds of events."""
    own = {name: one for name, one in places.places.items() if one}
    if own:
        yield "[input]"
        yield from (f"{name} = {toml_text(_masked(one))}" for name, one in own.items())
        yield ""
    yield "[input.columns]"
    given = {name: one for name, one in places.columns.model_dump().items() if one}
    for key, name in {**given, **columns}.items():
        value = [name] if key == "tags" and isinstance(name, str) else name
        is_open = key == "event" and not (weights or places.events)
        note = "  # needs the weight of each kind in [input.events]" if is_open else ""
        yield f"{key} = {toml_text(value)}{note}"
    if weights:
        yield ""
        yield "[input.events]  # the weights are yours to choose; below 0 for a dislike"
        yield from (f"{_toml_key(kind)} = {weight:g}" for kind, weight in weights.items())


def _toml_key(kind: str) -> str:
    return kind if re.fullmatch(r"[A-Za-z0-9_-]+", kind) else toml_text(kind)


def _masked(place: str | tuple[str, ...]) -> str | list[str]:
    return mask_address(place) if isinstance(place, str) else list(map(mask_address, place))


def _is_of(opened: OpenTable, number: int) -> bool:
    return opened.table.keeps_others == (number == 1)


def _understood(
    opened: OpenTable, raw: RawTables | None, number: int, weights: Mapping[str, float]
) -> Iterator[str]:
    """Yield the columns of a table, with examples of their converted values."""
    file, table = opened.parts[0].file, opened.table
    frame = None if raw is None else (raw.ratings, raw.movies)[number]
    rows = "" if frame is None else f", {len(frame):,} rows"
    yield f"{_STEMS[number]}: {opened.file.name} ({file.format_name}{rows})"
    cells = []
    for column in opened.kinds:
        if column in table.more_tags or column not in opened.parts[0].columns:
            continue
        is_other = column not in table.columns
        key = "attribute" if is_other else table.key(column)
        name = column if is_other else table.names[column]
        if column == c.GENRES:
            name = ", ".join([name, *table.more_tags.values()])
        if column == c.AVAILABLE and table.is_inverted:
            name = f"{NOT}{name}"
        values = "" if frame is None else _values(frame, column)
        if column == c.EVENT and frame is not None:
            values = _kinds(kinds_of(frame), weights)
        cells.append((key, name, values))
    widths = [max(len(cell[at]) for cell in cells) for at in (0, 1)]
    for key, name, values in cells:
        yield f"  {key:{widths[0]}}  {name:{widths[1]}}  {values}".rstrip()
    unread = [] if table.keeps_others else table.others(file.column_names)
    if unread:
        yield f"  not read: {', '.join(unread)}"


def _not_understood(file: TableFile, number: int) -> Iterator[str]:
    """Yield the columns of a table that is refused."""
    types = file.column_types or [None] * len(file.column_names)
    yield f"{_STEMS[number]}: {file.name} ({file.format_name}), refused"
    for name, type_ in zip(file.column_names, types, strict=True):
        yield f"  {name}" + ("" if type_ is None else f"  {type_}")


def _values(frame: pd.DataFrame, column: str) -> str:
    """Describe the values of a column: examples, or the range of times and numbers."""
    own = frame[column].dropna()
    missing = f", {len(frame) - len(own):,} missing" if len(own) < len(frame) else ""
    if not len(own):
        return f"no value{missing}"
    if column in (c.TIMESTAMP, c.RELEASED):
        return f"{_time(own.min())} to {_time(own.max())}{missing}"
    if own.dtype == bool:
        return f"{int(own.sum()):,} of {len(own):,}"
    if pd.api.types.is_numeric_dtype(own.dtype):
        return f"{own.min():g} to {own.max():g}{missing}"
    first = [str(one)[:_SHOWN_CHARACTERS] for one in own.drop_duplicates().iloc[:_SHOWN_VALUES]]
    count = f"{own.nunique():,} different, such as " if len(own) else ""
    return f"{count}{', '.join(map(repr, first))}{missing}"


def _kinds(found: Mapping[str, int], weights: Mapping[str, float]) -> str:
    """Describe the kinds of events: the number of each, and its weight."""
    shown = [
        f"{count:,} {kind} ({f'weight {weights[kind]:g}' if kind in weights else 'no weight'})"
        for kind, count in list(found.items())[:_SHOWN_KINDS]
    ]
    more = [f"{len(found) - len(shown):,} kinds more"] if len(found) > len(shown) else []
    return ", ".join([*shown, *more])


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M}"


def _found(judged: Judged) -> Iterator[str]:
    """Yield what a run would note, and the size of the data."""
    if judged.dataset is None:
        notes = judged.raw.notes if judged.raw is not None else ()
        yield from (f"note: {one}" for one in notes)
        return
    data = judged.dataset
    yield from (f"note: {one}" for one in (*data.findings.describe(), *judged.rule_notes))
    yield data.size_words
