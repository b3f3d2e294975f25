"""Files that are there whole or not at all, and how to tell that they are what was written."""

import hashlib
import os
import pwd
import shutil
from pathlib import Path

from reco_batch.errors import NightFailed


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it finds the old content or the new, and no part.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder with their names; hexadecimal.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    lines = [f"{sha256(path / file)}  {file}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there.

    Raises:
        OSError: it is there, and stays.
    """
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def account() -> str:
    """Return the account of this process, by name and number."""
    uid = os.geteuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:  # a container runs as any number
        return f"of uid {uid}"


def closed(error: PermissionError) -> NightFailed:
    """Return the failure of a command that may not use a path below --home."""
    return NightFailed(
        f"{error.filename} may not be used by the account {account()}. Run as the account that "
        "owns it, let this one use it (chmod, chgrp), or give another --home."
    )
