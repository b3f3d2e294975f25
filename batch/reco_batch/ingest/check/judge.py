"""Judgement of the input: both tables are read and checked, and all problems are kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from reco_batch.data.dataset import Dataset
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows
from reco_batch.ingest.check.suggest import partial_returns, suggested_columns, suggested_weights
from reco_batch.ingest.formats.table_file import ReadAgain, ReadMode, TableFile
from reco_batch.ingest.readers import RawTables, open_tables, read_tables
from reco_batch.ingest.sources import DEMO, PUBLISHED, folder_of, load
from reco_batch.ingest.table_reader import OpenTable, TableReader
from reco_batch.ingest.tables import tables_of
from reco_batch.ingest.validate import all_faults, build_dataset
from reco_batch.settings.input_keys import Counting, InputKeys, events_refusal


class Limits(NamedTuple):
    """Limits of the checks, as in a run."""

    encoding: str
    max_bad_rows: int
    rating_scale: tuple[float, float]
    max_unknown_ratings: float


class Judged(NamedTuple):
    """Columns that were understood, and every problem."""

    problems: tuple[str, ...]
    """One line for each; none if a run can use the input."""
    opened: tuple[OpenTable, ...] = ()
    """Tables whose headers could be read."""
    files: tuple[TableFile | None, ...] = (None, None)
    """A file of each table, for its columns; None if none could be opened."""
    raw: RawTables | None = None
    """The converted tables; None if one could not be read."""
    dataset: Dataset | None = None
    """None if there is a problem."""
    suggestion: Mapping[str, str] = MappingProxyType({})
    """Key of [input.columns] -> name of the column that probably fits."""
    weights: Mapping[str, float] = MappingProxyType({})
    """Kind of event -> weight to begin with; empty unless a column has kinds without weights."""
    weight_notes: tuple[str, ...] = ()
    """Notes on weights that a run accepts, and that probably mean something else."""
    rule_notes: tuple[str, ...] = ()
    """Notes of the rules, if a run can use them."""


def judge(
    data: str | None, places: InputKeys, limits: Limits, *, cache: Path, now: datetime
) -> Judged:
    """Read and check the input as a run does, but go on after a problem where that is possible.

    Args:
        data: see `sources.load`.
        places: places of the tables, and names of their columns.
        limits: limits of the checks.
        cache: folder for downloads.
        now: time of the check; later ratings are reported.

    Raises:
        UsageError, NotInstalled: see `sources.load`.
    """
    if data is not None and data in (DEMO, *PUBLISHED) and not places.is_set:
        raw = load(data, cache=cache).tables
        return _checked(Judged(()), raw, limits, None, now)
    try:
        folder = None if data is None else folder_of(data)
        found = open_tables(folder, places, encoding=limits.encoding)
    except DataRefused as error:
        return Judged((str(error),))
    opened, refused, files = found
    events = events_refusal(places)
    suggestion = suggested_columns(tables_of(places.columns), files)
    kinds = suggestion.get("event") or (None if places.events else places.columns.event)
    judged = Judged(
        (*map(str, refused), *([str(events)] if events else [])),
        opened,
        files,
        suggestion=suggestion,
        weights=suggested_weights(files[0], kinds),
        weight_notes=partial_returns(None if events else places.counting),
    )
    if refused:
        return _with(judged, [fault for one in opened for fault in _faults_of(one)])
    try:
        raw = read_tables(opened, max_bad_rows=limits.max_bad_rows, noun=places.noun)
    except DataRefused as error:
        alone = [fault for one in opened for fault in _faults_of(one)]
        return _with(judged, alone or [error])
    return _checked(judged, raw, limits, None if events else places.counting, now)


def _with(found: Judged, faults: Sequence[DataRefused]) -> Judged:
    return found._replace(problems=(*found.problems, *map(str, faults)))


def _checked(
    found: Judged, raw: RawTables, limits: Limits, counting: Counting | None, now: datetime
) -> Judged:
    """Check the values of both tables."""
    options: dict[str, Any] = {
        "rating_scale": limits.rating_scale,
        "max_unknown_ratings": limits.max_unknown_ratings,
        "counting": counting,
        "now": now,
    }
    found = found._replace(raw=raw)
    try:
        dataset = build_dataset(raw, **options)
    except DataRefused as error:
        return _with(found, all_faults(raw, **options) or [error])
    return found if found.problems else found._replace(dataset=dataset)


def _faults_of(opened: OpenTable) -> list[DataRefused]:
    """Return what refuses a table by itself."""
    bad, mode = BadRows(), ReadMode()
    while True:
        reader = TableReader(opened, bad, mode)
        try:
            reader.read()
            return bad.faults({reader.name: reader.lines})
        except ReadAgain as again:
            bad, mode = BadRows(), again.mode
        except DataRefused as error:
            return [*bad.faults({reader.name: reader.lines}), error]
