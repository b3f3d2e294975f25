"""Files on this machine and in object stores, opened alike.

An object store is an address that `pyarrow.fs` can open, such as s3://bucket/folder. Credentials
come from the environment. Files are read in ranges, and never copied to this machine.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa

from reco_batch.errors import DataRefused
from reco_batch.settings.address import mask_address, scrubbed

#: Beginnings of the addresses of object stores.
OBJECT_STORES: Final = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_BUFFER_BYTES: Final = 1 << 20
_SHOWN_CHARACTERS: Final = 300
#: Start of a note of AWS about the request, after the reason.
_OF_REQUEST: Final = re.compile(r"(?: operation: No response body| \(Request ID: ).*", re.DOTALL)
_REMEDY: Final = (
    "Check the address and the credentials in the environment, such as AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY and AWS_REGION."
)


@dataclass(frozen=True)
class StoredFile:
    """File in an object store."""

    filesystem: Any
    """A `pyarrow.fs.FileSystem`."""
    key: str
    """Path of the file in the file system."""
    address: str
    """Address that led to the file; may contain a secret."""
    folder: str
    """Path of the folder that was searched; the file's own path if none was."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return PurePosixPath(self.key).name

    @property
    def suffix(self) -> str:
        """Ending of the name, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the path."""
        return PurePosixPath(self.key).parts

    def open(self, _mode: str = "rb") -> BinaryIO:
        """Open the file to read bytes."""
        return cast("BinaryIO", io.BufferedReader(self.native(), _BUFFER_BYTES))

    def native(self) -> pa.NativeFile:
        """Open the file for Arrow."""
        return self.filesystem.open_input_file(self.key)


Place = Path | StoredFile


def native(place: Place) -> pa.NativeFile:
    """Open a file for Arrow."""
    return place.native() if isinstance(place, StoredFile) else pa.OSFile(str(place))


def stored_files(address: str) -> tuple[StoredFile, ...]:
    """Return the files at an address: one file, those of a folder, or those of a pattern with `*`.

    Names that begin with a dot or an underscore are markers, and are skipped in folders.

    Raises:
        DataRefused: the address is of a kind that is not read, or the store denies the access.
    """
    from pyarrow import fs  # noqa: PLC0415  # loads the libraries of all object stores

    shown, _, options = address.partition("?")
    fixed, star, _ = shown.partition("*")
    base = fixed.rpartition("/")[0] if star else shown.rstrip("/")
    try:
        filesystem, root = fs.FileSystem.from_uri(f"{base}?{options}" if options else base)
        if star:
            wanted = root + shown[len(base) :]
            found = _below(fs, filesystem, root, lambda path: fnmatchcase(path, wanted))
        elif filesystem.get_file_info(root).type == fs.FileType.Directory:
            found = _below(fs, filesystem, root, lambda _: True)
        else:
            found = [root]
            filesystem.open_input_file(root).close()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise stored_refusal(address, error) from error
    if not found:
        raise DataRefused(
            f"{mask_address(shown)} has no files", "at least one file", "Check the address."
        )
    return tuple(StoredFile(filesystem, key, address, root) for key in found)


def stored_tables(address: str, stem: str) -> dict[str, tuple[StoredFile, ...]]:
    """Return the files below a folder whose paths begin with a stem, by the first part of the path.

    Raises:
        DataRefused: there is no such file, or the store denies the access.
    """
    folder, mark, options = address.partition("?")
    found: dict[str, tuple[StoredFile, ...]] = {}
    for file in stored_files(f"{folder.rstrip('/')}/{stem}*{mark}{options}"):
        name = PurePosixPath(file.key).relative_to(file.folder).parts[0]
        found[name] = (*found.get(name, ()), file)
    return found


def _below(
    fs: Any,  # noqa: ANN401  # pyarrow is not annotated
    filesystem: Any,  # noqa: ANN401
    root: str,
    is_wanted: Callable[[str], bool],
) -> list[str]:
    """Return the paths of the wanted files below a folder, in order."""
    infos = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    return sorted(
        info.path
        for info in infos
        if info.type == fs.FileType.File
        and info.size
        and not any(
            part.startswith((".", "_"))
            for part in PurePosixPath(info.path).relative_to(root.rstrip("/")).parts
        )
        and is_wanted(info.path)
    )


def stored_refusal(address: str, error: Exception) -> DataRefused:
    """Return the refusal of an address that could not be read."""
    reason = _OF_REQUEST.sub("", scrubbed(str(error), address)).splitlines()[0]
    return DataRefused(
        f"{mask_address(address)} could not be read ({reason[:_SHOWN_CHARACTERS]})",
        "an address that this account may read: s3://, gs://, hdfs:// and others of pyarrow.fs",
        _REMEDY,
    )
