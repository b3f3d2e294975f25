"""Users whom runs leave out: those of the settings, and those that `batch forget` erased.

    <home>/forgotten/<namespace>.json    {"salt": <hex>, "sha256": [<hex>, ...]}

The file contains salted hashes instead of ids. It is no list of names, but anyone with it can test
whether a given id is in it.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from reco_batch.data import columns as c
from reco_batch.data.dataset import RejectedRow
from reco_batch.errors import NightFailed
from reco_batch.files import write_whole
from reco_batch.ingest.bad_rows import values_of
from reco_batch.ingest.readers import RawTables
from reco_batch.ingest.table_reader import used_only
from reco_store.contract.words import counted


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Ids, and salted hashes of ids."""

    ids: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()
    salt: str = ""

    def __len__(self) -> int:
        """Number of users."""
        return len(self.ids) + len(self.hashes)

    def among(self, users: Iterable[str]) -> frozenset[str]:
        """Return the users who are forgotten."""
        if not self.hashes:
            return self.ids.intersection(users) if self.ids else frozenset()
        return frozenset(u for u in users if u in self.ids or _hash(self.salt, u) in self.hashes)


def list_of(home: Path, namespace: str) -> Path:
    """Return the path of the list of a namespace."""
    return home / "forgotten" / f"{namespace}.json"


def read_forgotten(path: Path, ids: Iterable[str] = ()) -> Forgotten:
    """Return the users of a list, which need not exist, and some more.

    Raises:
        NightFailed: the list is damaged or cannot be read. It is never ignored.
    """
    try:
        content = json.loads(path.read_bytes())
        salt, hashes = str(content["salt"]), frozenset(map(str, content["sha256"]))
    except (FileNotFoundError, NotADirectoryError):  # the latter: the home is no folder
        return Forgotten(frozenset(ids))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NightFailed(
            f"the list of forgotten users {path} cannot be read ({error}); expected what `batch "
            "forget` writes. Restore it from a backup, or delete it and forget the users again."
        ) from error
    return Forgotten(frozenset(ids), hashes, salt)


def remember_to_forget(path: Path, users: Collection[str]) -> None:
    """Add users to a list.

    Raises:
        NightFailed: the list is damaged or cannot be read.
        OSError: the disk is full or the folder cannot be written.
    """
    known = read_forgotten(path)
    salt = known.salt or secrets.token_hex(16)
    hashes = known.hashes | {_hash(salt, user) for user in users}
    if hashes != known.hashes:
        _write(path, salt, hashes)


def remember_again(path: Path, users: Collection[str]) -> frozenset[str]:
    """Remove users from a list, which need not exist, and return those who were on it.

    Raises:
        NightFailed: the list is damaged or cannot be read.
        OSError: the disk is full or the folder cannot be written.
    """
    known = read_forgotten(path)
    found = known.among(users)
    if found:
        _write(path, known.salt, known.hashes - {_hash(known.salt, user) for user in found})
    return found


def _write(path: Path, salt: str, hashes: Collection[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"salt": salt, "sha256": sorted(hashes)}
    write_whole(path, json.dumps(content, indent=1).encode())


def leave_out(raw: RawTables, forgotten: Forgotten) -> RawTables:
    """Return the tables without the ratings of forgotten users."""
    users = raw.ratings[c.USER_ID]
    gone = forgotten.among(users.cat.categories)
    if not gone:
        return raw
    left = ~users.isin(gone)
    ratings = raw.words.count_interactions(int((~left).sum()))
    note = f"{ratings} of {counted(len(gone), 'forgotten user')} left out"
    return raw._replace(ratings=used_only(raw.ratings[left]), notes=(*raw.notes, note))


def clear_texts(rows: Iterable[RejectedRow], forgotten: Forgotten) -> tuple[RejectedRow, ...]:
    """Return rejected rows, without the text of those that contain the id of a forgotten user."""
    return tuple(
        row._replace(row="") if forgotten.among(values_of(row.row)) else row for row in rows
    )


def _hash(salt: str, user: str) -> str:
    return hashlib.sha256(f"{salt}{user}".encode()).hexdigest()
