"""Erasure of users from a complete artifact, which can be published and compared as before.

The report is deleted, and so are the SavedModels with a row for each user, since their ids are part
of a TensorFlow graph; the models stored for refreshes have no users. Then the manifest is changed
to describe the remaining lists, and only then are the files rewritten, the lists last. A list of a
user therefore means that the erasure is incomplete; repeating it completes it, wherever it was
killed.
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Mapping, Set
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reco_batch.artifact.folder import (
    HISTORIES,
    MOVIE_MODEL,
    REPORT,
    Artifact,
    write_manifest,
)
from reco_batch.artifact.stored_models import STORED_RATING, STORED_RETRIEVAL
from reco_batch.artifact.writer import EVALUATION_FORMAT, LIST_FORMAT
from reco_batch.data import columns as c
from reco_batch.errors import NightFailed
from reco_batch.files import delete, replacing, write_whole
from reco_batch.ingest.bad_rows import REJECTED, values_of
from reco_store.contract.codec import is_numeric_id
from reco_store.contract.digest import Digest, Summary
from reco_store.contract.families import LISTS, SEEN, Family
from reco_store.contract.keys import family_suffix

#: Families with a list for each user.
_OF_USERS: Final = tuple(family for family in LISTS if family.per == "user")
#: Models that have no row for a user.
_WITHOUT_USERS: Final = (MOVIE_MODEL, STORED_RETRIEVAL, STORED_RATING)
_SPLIT: Final = "evaluation/split.parquet"


class Erased(NamedTuple):
    """Numbers of artifacts that were changed, and of rows and SavedModels deleted from them."""

    artifacts: int = 0
    rows: int = 0
    models: int = 0

    def plus(self, other: "Erased") -> "Erased":
        """Return the sums."""
        return Erased(*(mine + its for mine, its in zip(self, other, strict=True)))


def users_of(artifact: Artifact) -> set[str]:
    """Return the users who have a list in an artifact.

    Raises:
        NightFailed: a file is damaged or missing.
    """
    found: set[str] = set()
    for family in _families(artifact):
        for batch in artifact.lists(family, columns=[c.SUFFIX]):
            found.update(name.partition(":")[2] for name in batch.column(c.SUFFIX).to_pylist())
    return found


def erase_users(artifact: Artifact, users: Set[str]) -> Erased:
    """Erase users from an artifact. Without any of their lists, only rejected rows can change.

    Raises:
        NightFailed: a file is damaged or missing.
        OSError: the disk is full or the folder cannot be written.
    """
    folder = artifact.folder
    rows = _clear_texts(folder / REJECTED, users)
    families = [family for family in _families(artifact) if _lists_of(artifact, family, users)]
    if not families:
        return Erased(int(rows > 0), rows, 0)
    delete(folder / REPORT)
    models = [path for path in (folder / "models").glob("*") if path.name not in _WITHOUT_USERS]
    for path in models:
        delete(path)
    _describe(artifact, users)
    files = [*sorted((folder / "evaluation").glob("*.parquet")), *folder.glob(HISTORIES)]
    for file in files:
        rows += _rewrite(file, c.USER_ID, users, EVALUATION_FORMAT)
    for family in families:
        names = [family_suffix(family, user) for user in users]
        rows += _rewrite(folder / family.file, c.SUFFIX, names, LIST_FORMAT)
    return Erased(1, rows, len(models))


def _families(artifact: Artifact) -> list[Family]:
    return [family for family in _OF_USERS if artifact.has_lists(family)]


def _lists_of(artifact: Artifact, family: Family, users: Set[str]) -> list[int]:
    """Return the length of each list of the users in a family."""
    wanted = pa.array([family_suffix(family, user) for user in users], pa.string())
    lengths: list[int] = []
    for batch in artifact.lists(family, columns=[c.SUFFIX, c.MOVIE_IDS]):
        inside = batch.filter(pc.is_in(batch.column(c.SUFFIX), value_set=wanted))
        lengths += pc.list_value_length(inside.column(c.MOVIE_IDS)).to_pylist()
    return lengths


def _describe(artifact: Artifact, users: Set[str]) -> None:
    """Change the manifest to describe the artifact without the users.

    The manifest of an artifact that does not match its digest, because it is damaged, is not
    changed: publishing refuses it as before.
    """
    gone = {family_suffix(family, user) for family in _OF_USERS for user in users}
    before, after = Digest(), Summary()
    for chunk in artifact.entry_chunks():
        before.update_many(chunk)
        after.update_many([entry for entry in chunk if entry[0] not in gone])
    manifest = artifact.manifest
    if before.value() == manifest["digest"]:
        data = _data_without(artifact, users)
        artifact.manifest = {**manifest, **after.manifest_fields(), "data": data}
        write_manifest(artifact.folder, artifact.manifest)


def _data_without(artifact: Artifact, users: Set[str]) -> dict[str, Any]:
    """Return the numbers of users and ratings that the gate compares with the lists."""
    data = dict(artifact.manifest.get("data", {}))
    histories = _lists_of(artifact, SEEN, users)
    parts = _parts_of(artifact.folder / _SPLIT, users)
    rated = sum(sum(own.values()) for own in parts.values()) or sum(histories)
    removed = {"users": len(histories), "ratings": rated}
    for part in ("train", "validation", "test", "cold"):
        removed[part] = sum(own[part] for own in parts.values())
        removed[f"{part}_users"] = sum(own[part] > 0 for own in parts.values())
    data |= {name: data[name] - count for name, count in removed.items() if name in data}
    if "seen" in data:  # of events, of which histories contain some kinds only
        data["seen"] -= sum(histories)
    elif "unlisted" in data:
        ratings = data["unlisted"]["ratings"] - (rated - sum(histories))
        data["unlisted"] = {**data["unlisted"], "ratings": ratings}
    return data


def _parts_of(split: Path, users: Set[str]) -> dict[Any, Counter[str]]:
    """Return the number of ratings in each part of the split, by user."""
    parts: dict[Any, Counter[str]] = {}
    if split.exists():
        with pq.ParquetFile(split, pre_buffer=False) as file:
            for batch in file.iter_batches(columns=[c.USER_ID, c.PART]):
                inside = batch.filter(_are_of(batch.column(c.USER_ID), users))
                for user, part in zip(*(inside.column(n).to_pylist() for n in (0, 1)), strict=True):
                    parts.setdefault(user, Counter())[part] += 1
    return parts


def _are_of(column: pa.Array, values: Collection[str]) -> pa.Array:
    """Return which entries of a column of ids, text or integers, are among some."""
    if pa.types.is_integer(column.type):
        numbers = [int(value) for value in values if is_numeric_id(value)]
        return pc.is_in(column, value_set=pa.array(numbers, column.type))
    return pc.is_in(column, value_set=pa.array(list(values), column.type))


def _rewrite(
    path: Path, column: str, values: Collection[str], written_as: Mapping[str, Any]
) -> int:
    """Rewrite a Parquet file without some rows, row group by row group; return their number."""
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            groups = range(file.num_row_groups)
            counts = [
                pc.sum(_are_of(_column(file, group, column), values)).as_py() or 0
                for group in groups
            ]
            if not sum(counts):
                return 0
            with (
                replacing(path) as stream,
                pq.ParquetWriter(stream, file.schema_arrow, **written_as) as writer,
            ):
                for group in groups:
                    table = file.read_row_group(group)
                    kept = table.filter(pc.invert(_are_of(_column(file, group, column), values)))
                    if len(kept):
                        writer.write_table(kept)
            return int(np.sum(counts))
    except pa.ArrowException as error:
        raise NightFailed(f"{path} is damaged ({error}). Delete its artifact's folder.") from error


def _column(file: pq.ParquetFile, group: int, name: str) -> pa.Array:
    return file.read_row_group(group, columns=[name]).column(name).combine_chunks()


def _clear_texts(path: Path, users: Set[str]) -> int:
    """Empty the texts of a user's rejected rows; return their number."""
    if not path.exists():
        return 0
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    cleared = [row if users.isdisjoint(values_of(row[-1])) else [*row[:-1], ""] for row in rows]
    count = sum(row != other for row, other in zip(rows, cleared, strict=True))
    if count:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([header, *cleared])
        write_whole(path, text.getvalue().encode())
    return count
