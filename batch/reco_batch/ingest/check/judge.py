"""Judgement of the input: both tables are read and checked, and all problems are kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from reco_batch.data.dataset import Dataset
from reco_batch.errors import DataRefused
from reco_batch.ingest.bad_rows import BadRows
from reco_batch.ingest.check.suggest import suggested_columns
from reco_batch.ingest.formats.table_file import ReadAgain, ReadMode, TableFile
from reco_batch.ingest.readers import RawTables, open_tables, read_tables
from reco_batch.ingest.sources import DEMO, PUBLISHED, folder_of, load
from reco_batch.ingest.table_reader import OpenTable, TableReader
from reco_batch.ingest.tables import tables_of
from reco_batch.ingest.validate import all_faults, build_dataset
from reco_batch.settings.input_keys import InputKeys, events_refusal


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
        return _checked(Judged(()), raw, limits, now)
    try:
        folder = None if data is None else folder_of(data)
        found = open_tables(folder, places, encoding=limits.encoding)
    except DataRefused as error:
        return Judged((str(error),))
    opened, refused, files = found
    events = events_refusal(places)
    judged = Judged(
        (*map(str, refused), *([str(events)] if events else [])),
        opened,
        files,
        suggestion=suggested_columns(tables_of(places.columns), files),
    )
    if refused:
        return _with(judged, [fault for one in opened for fault in _faults_of(one)])
    try:
        raw = read_tables(opened, max_bad_rows=limits.max_bad_rows, noun=places.noun)
    except DataRefused as error:
        alone = [fault for one in opened for fault in _faults_of(one)]
        return _with(judged, alone or [error])
    return _checked(judged, raw, limits, now)


def _with(found: Judged, faults: Sequence[DataRefused]) -> Judged:
    return found._replace(problems=(*found.problems, *map(str, faults)))


def _checked(found: Judged, raw: RawTables, limits: Limits, now: datetime) -> Judged:
    """Check the values of both tables."""
    scale, unknown = limits.rating_scale, limits.max_unknown_ratings
    found = found._replace(raw=raw)
    try:
        dataset = build_dataset(raw, rating_scale=scale, max_unknown_ratings=unknown, now=now)
    except DataRefused:
        faults = all_faults(raw, rating_scale=scale, max_unknown_ratings=unknown, now=now)
        return _with(found, faults)
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
