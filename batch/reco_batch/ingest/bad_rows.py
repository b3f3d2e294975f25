"""Rows of the input that cannot be used: counted, described, and tolerated up to a limit."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.columns import TIMESTAMP, Kind
from reco_batch.data.dataset import RejectedRow
from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.table_file import RowLocation, RowLocator
from reco_store.contract.words import with_article

#: Largest number of kinds of faults that a refusal lists.
_NAMED: Final = 4
#: Kind of column -> noun for one of its values, and the expected form for error messages.
_NOUNS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.ID: ("an id", "an id: text, or a whole number in full"),
    Kind.STARS: ("a number", "a number such as 4.5"),
    Kind.TIME: ("a time", "seconds since 1970, or a time such as 2024-05-01T18:30:00Z"),
    Kind.TITLE: ("text", "text in UTF-8"),
    Kind.GENRES: ("text", "text in UTF-8"),
    Kind.FLAG: ("true or false", "true or false, or a number"),
}
#: Column -> expected form of a missing value, if not simply a value of the column.
_WANTED: Final = {TIMESTAMP: "a time in every row, or no such column"}
_SHOWN_CHARACTERS: Final = 80
_DELIMITERS: Final = re.compile(r"[,;\t|]")
#: Name of the artifact's file with the rows that were left out.
REJECTED: Final = "rejected.csv"
REMEDY: Final = "Correct or remove such rows, or allow some with --max-bad-rows."
#: What to do if every row of a file has the same fault.
_REMEDY_OF_ALL: Final = (
    "All rows have it: correct the column where the file is written, or the setting that describes "
    "it. A spreadsheet keeps ids and times whole if they are formatted as text."
)


class Fault(NamedTuple):
    """Kind of fault; rows with the same kind are counted together."""

    file: str
    column: str
    expected: str


def value_fault(file: str, column: str, kind: Kind, *, is_missing: bool) -> Fault:
    """Return the kind of fault of a row whose value is missing or unreadable."""
    _, expected = _NOUNS[kind]
    return Fault(
        file, column, _WANTED.get(column, with_article(column)) if is_missing else expected
    )


def describe_value(value: object, column: str, kind: Kind, *, is_missing: bool) -> str:
    """Describe a missing or unreadable value, for messages; None is a missing one."""
    if value is None:
        return f"{column} is missing"
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
    noun, _ = _NOUNS[kind]
    return f"{column} is {shown}" if is_missing else f"{column} {shown} is not {noun}"


class _BadRow(NamedTuple):
    row: int
    """Number of the row in its table, from 0; negative for ragged rows, see `RowLocator`."""
    found: str
    fault: Fault


def _reason(bad: _BadRow) -> str:
    """Return the description, without the text of a ragged row, which has its own column.

    The reason of the first row becomes part of manifests and reports, from which `batch forget`
    could not clear an id.
    """
    return bad.found.partition(" in ")[0] if bad.row < 0 else bad.found


@dataclass
class BadRows:
    """Collector of bad rows, over both files."""

    limit: int = 0
    """Highest number of bad rows that may be left out; with more, the input is refused."""
    counts: Counter[Fault] = field(default_factory=Counter)
    _kept: list[_BadRow] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of bad rows."""
        return self.counts.total()

    def add(
        self, fault: Fault, rows: NDArray[np.int64] | Sequence[int], found: Callable[[int], str]
    ) -> None:
        """Add rows with the same fault.

        Args:
            fault: the kind of fault of all rows.
            rows: row numbers, ascending.
            found: returns the description of the row at a position in `rows`, for the message.
        """
        if not len(rows):
            return
        keep = max(self.limit - len(self._kept), 0)
        for position, row in enumerate(rows[: max(keep, fault not in self.counts)]):
            self._kept.append(_BadRow(int(row), found(position), fault))
        self.counts[fault] += len(rows)

    def judged(self, lines: dict[str, RowLocator]) -> tuple[RejectedRow, ...]:
        """Return the rows to leave out, each with its line.

        Args:
            lines: file name -> locations of its rows.

        Raises:
            DataRefused: there are more bad rows than the limit.
        """
        if not self._kept:
            return ()
        refused = len(self) > self.limit
        shown = list({bad.fault: bad for bad in reversed(self._kept)}.values())
        located = self._located(shown if refused else self._kept, lines)
        if refused:
            raise self._refusal(located)
        return tuple(
            RejectedRow(location.file, location.line, _reason(bad), location.text)
            for location, bad in located
        )

    def faults(self, lines: dict[str, RowLocator], empty: Sequence[str] = ()) -> list[DataRefused]:
        """Return a refusal for each kind of fault, with its first row.

        Args:
            lines: file name -> locations of its rows.
            empty: files of which no row is left.
        """
        kinds = Counter(fault.file for fault in self.counts)
        firsts = list({bad.fault: bad for bad in reversed(self._kept)}.values())
        found = []
        for location, bad in self._located(firsts, lines):
            count = self.counts[bad.fault]
            text = bad.found + (f", the first of {count:,} such rows" if count > 1 else "")
            file = bad.fault.file
            has_all = count > 1 and file in empty and kinds[file] == 1
            remedy = _REMEDY_OF_ALL if has_all else REMEDY
            found.append(
                DataRefused(text, bad.fault.expected, remedy, location.file, location.line)
            )
        return found

    @staticmethod
    def _located(
        bad: Sequence[_BadRow], lines: dict[str, RowLocator]
    ) -> list[tuple[RowLocation, _BadRow]]:
        """Return rows with their locations, in the order of the files."""
        located: list[tuple[RowLocation, _BadRow]] = []
        for file in dict.fromkeys(one.fault.file for one in bad):
            here = [one for one in bad if one.fault.file == file]
            locations = lines[file].locate([one.row for one in here])
            located += sorted(
                ((locations[one.row], one) for one in here), key=lambda pair: pair[0].order
            )
        return located

    def _refusal(self, located: list[tuple[RowLocation, _BadRow]]) -> DataRefused:
        """Return the refusal, with the first row of each kind of fault."""
        (location, first), *others = located
        alike = self.counts[first.fault]
        found = first.found + (f", the first of {alike:,} such rows" if alike > 1 else "")
        for where, bad in others[: _NAMED - 1]:
            file = f"{where.file}, " if where.file != location.file else ""
            count = self.counts[bad.fault]
            rows = f" ({count:,} rows)" if count > 1 else ""
            found += f"; {file}line {where.line}: {bad.found}{rows}"
        if len(others) >= _NAMED:
            found += f"; and {len(others) - _NAMED + 1} faults more"
        if self.limit:
            found += f"; {len(self):,} bad rows in all, {self.limit:,} are allowed"
        remedy = (
            REMEDY
            if not location.is_cut
            else (
                "The file ends there without a line break, so it was probably cut: write it again."
            )
        )
        return DataRefused(found, first.fault.expected, remedy, location.file, location.line)


def no_rows(name: str) -> DataRefused:
    """Return the refusal of a file without any usable rating or movie."""
    return DataRefused(
        "there is no row below the header",
        "at least one row",
        "Check the export that writes this file.",
        name,
    )


def values_of(row: str) -> list[str]:
    """Return what may be values in the text of a rejected row, whatever its delimiter.

    Of a part of a JSON object, both the whole and what follows the key.
    """
    parts = _DELIMITERS.split(row.strip(" {}"))
    parts += [part.partition('":')[2] for part in parts]
    return [value.strip().strip("\"'").strip() for value in parts]


def write_rejected(path: Path, rows: Sequence[RejectedRow]) -> None:
    """Write the rows that were left out as a CSV file.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(RejectedRow._fields)
        writer.writerows(rows)
