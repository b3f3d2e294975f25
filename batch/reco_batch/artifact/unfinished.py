"""What a night keeps of its work until it is published, so that another run can go on with it.

    <home>/unfinished/<namespace>/<generation>/
        lock                      held by the process that is at work; the system lets go of it
        night.json                the night's fingerprint, and which of its stages are complete
        checkpoints/<training>/   see `checkpoints`

The artifact grows where it always does, and is not complete without its manifest.json. This
folder goes away when the night was published; of each namespace only the newest stays.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from reco_batch.artifact.manifests import MANIFEST
from reco_batch.data.fingerprint import differences
from reco_batch.files import delete, sha256, size_of, write_whole
from reco_store import RecoError, UsageError
from reco_store.contract.keys import is_generation_id

#: The last stage of all; complete only as long as all others are.
FINISH: Final = "finish the artifact"
_RECORD: Final = "night.json"
_LOCK: Final = "lock"

Say = Callable[[str], None]
_Json = TypeVar("_Json")


class Place(NamedTuple):
    """Where the nights of one namespace are."""

    artifacts: Path
    unfinished: Path
    """Folder of this namespace's unfinished nights."""

    def discard(self, generation: str) -> None:
        """Delete what a night left, but for an artifact that is complete."""
        artifact = self.artifacts / generation
        if not (artifact / MANIFEST).exists():
            shutil.rmtree(artifact, ignore_errors=True)
        self.forget(generation)  # last, since it tells of the artifact

    def forget(self, generation: str) -> None:
        """Delete what was kept beside the artifact."""
        shutil.rmtree(self.unfinished / generation, ignore_errors=True)
        with suppress(OSError):  # others are in it
            self.unfinished.rmdir()


class UnfinishedNight:
    """A night at work, and which of its stages are complete.

    Leaving its `with` block without an error forgets it; with an error it is kept. Its methods may
    be called from several threads.
    """

    def __init__(
        self, place: Place, generation: str, record: Mapping[str, Any], lock: int, *, resumed: bool
    ) -> None:
        self.generation = generation
        self.started = datetime.fromisoformat(record["started"])
        self.resumed = resumed
        self.artifact_folder = place.artifacts / generation
        self._place = place
        self._folder = place.unfinished / generation
        self._record = record
        self._stages: dict[str, Any] = dict(record["stages"])
        self._lock = lock
        self._changing = threading.Lock()

    def __enter__(self) -> Self:
        """Go to work."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Forget the night if it is published, or never will be; or say how to go on with it."""
        if error is None or isinstance(error, UsageError):
            self._place.forget(self.generation)
        elif isinstance(error, RecoError | KeyboardInterrupt) and self._folder.exists():
            error.add_note(f"`batch run --resume` goes on with {self.generation}.")
        os.close(self._lock)

    def is_complete(self, stage: str) -> bool:
        """Tell whether a stage need not be done again."""
        return stage in self._stages

    def value(
        self, stage: str, compute: Callable[[], _Json], *, may_write: Sequence[Path] = ()
    ) -> _Json:
        """Return the JSON value that a stage computed before, or compute it now.

        Args:
            stage: its name.
            compute: returns the value.
            may_write: files inside the artifact's folder that computing it writes, or does not.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        if stage not in self._stages:
            for path in may_write:
                delete(path)
            value = compute()
            outcome: dict[str, Any] = {"value": value}
            if written := [path for path in may_write if path.exists()]:
                outcome["sha256"] = self._digests(written)
            self._complete(stage, outcome)
        known: _Json = self._stages[stage]["value"]
        return known

    def output(self, stage: str, paths: Sequence[Path], write: Callable[[], None]) -> None:
        """Write a stage's files, unless they are complete.

        Args:
            stage: its name.
            paths: all files and folders that it writes, inside the artifact's folder.
            write: writes them; finds none of them.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        if stage in self._stages:
            return
        for path in paths:
            delete(path)
        try:
            write()
        except BaseException:
            for path in paths:  # of no use to whoever goes on, and the disk may be full
                with suppress(OSError):
                    delete(path)
            raise
        self._complete(stage, {"sha256": self._digests(paths)})

    def _digests(self, paths: Sequence[Path]) -> dict[str, str]:
        return {str(path.relative_to(self.artifact_folder)): sha256(path) for path in paths}

    def checkpoints(self, training: str) -> Path:
        """Return the folder of a training's checkpoints."""
        return self._folder / "checkpoints" / training.replace(" ", "-")

    def forget(self, training: str) -> None:
        """Delete a training's checkpoints: all that it was for is complete."""
        delete(self.checkpoints(training))

    def _complete(self, stage: str, outcome: Mapping[str, Any]) -> None:
        with self._changing:
            self._stages[stage] = outcome
            _write_record(self._folder, {**self._record, "stages": self._stages})


def open_night(
    place: Place,
    generation: str,
    started: datetime,
    made_of: Mapping[str, Any],
    *,
    resume: bool,
    say: Say,
) -> UnfinishedNight:
    """Go on with the newest unfinished night that fits, or begin one; delete all others.

    Args:
        place: of the namespace's nights.
        generation: name of the night, if one begins.
        started: when it begins.
        made_of: its fingerprint; an unfinished night fits if it has the same.
        resume: whether to go on with one at all.
        say: shows a line.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    night = None
    for folder in _newest_first(place.unfinished):
        lock = _locked(folder)
        if lock is None:  # by a night for another server
            continue
        if resume and night is None:
            night = _resumed(place, folder, made_of, lock, say)
            if night is not None:
                continue
        place.discard(folder.name)
        os.close(lock)
    if night is None:
        if resume:
            say("nothing to resume: the night begins anew")
        night = _begun(place, generation, started, made_of)
    return night


def unfinished_generations(unfinished: Path) -> set[str]:
    """Return the unfinished nights of all namespaces."""
    found: set[str] = set()
    for namespace in unfinished.glob("*"):
        with suppress(OSError):  # its last night ended just now, or it is closed to this account
            found.update(path.name for path in namespace.iterdir())
    return found


def reusable_bytes(place: Place, *, resume: bool) -> int:
    """Return how many bytes `open_night` will delete before it begins, or go on with.

    Those are the bytes of this namespace's unfinished nights that no process is at work on. A
    complete artifact stays, so it counts only if it is resumed; only the newest night is resumed.
    """
    size = 0
    with suppress(OSError):  # folders that this account may not read are not counted
        for folder in _newest_first(place.unfinished):
            lock = _locked(folder)
            if lock is None:
                continue
            os.close(lock)
            artifact = place.artifacts / folder.name
            size += size_of(folder)
            if resume or not (artifact / MANIFEST).exists():
                size += size_of(artifact)
            resume = False
    return size


def is_full(error: OSError) -> bool:
    """Tell whether there was no room on the disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _begun(
    place: Place, generation: str, started: datetime, made_of: Mapping[str, Any]
) -> UnfinishedNight:
    folder = place.unfinished / generation
    record = {"started": started.isoformat(timespec="seconds"), "made_of": made_of, "stages": {}}
    try:
        folder.mkdir(parents=True)
        lock = _locked(folder)
        if lock is None:
            raise FileExistsError(errno.EEXIST, "another run took the same name", str(folder))
        _write_record(folder, record)
    except OSError as error:
        if is_full(error):
            place.discard(generation)
        raise
    return UnfinishedNight(place, generation, record, lock, resumed=False)


def _resumed(
    place: Place, folder: Path, made_of: Mapping[str, Any], lock: int, say: Say
) -> UnfinishedNight | None:
    try:
        record = _read_record(folder)
    except (OSError, TypeError, ValueError):
        say(f"{folder.name} is not resumed: its {_RECORD} is damaged or missing")
        return None
    if differ := differences(record["made_of"], made_of):
        say(f"{folder.name} is not resumed: {'; '.join(differ)}")
        return None
    artifact = place.artifacts / folder.name
    stages = dict(_still_complete(artifact, record["stages"], say))
    if len(stages) < len(record["stages"]):
        stages.pop(FINISH, None)
    if FINISH not in stages:
        (artifact / MANIFEST).unlink(missing_ok=True)  # or what is written now looked complete
    say(f"resuming {folder.name}; complete: {', '.join(stages) or 'nothing yet'}")
    return UnfinishedNight(place, folder.name, {**record, "stages": stages}, lock, resumed=True)


def _still_complete(
    artifact: Path, stages: Mapping[str, Any], say: Say
) -> Iterator[tuple[str, Any]]:
    """Yield the stages whose files are what was written."""
    for stage, outcome in stages.items():
        try:
            changed = [
                name
                for name, digest in outcome.get("sha256", {}).items()
                if sha256(artifact / name) != digest
            ]
        except OSError as error:
            changed = [Path(str(error.filename)).name]
        if changed:
            say(f"{stage}: {changed[0]} is not what was written, and is made again")
        else:
            yield stage, outcome


def _locked(folder: Path) -> int | None:
    """Lock a night's folder; None if a process is at work on it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _newest_first(unfinished: Path) -> list[Path]:
    if not unfinished.exists():
        return []
    return sorted((f for f in unfinished.iterdir() if is_generation_id(f.name)), reverse=True)


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    write_whole(folder / _RECORD, _signed(record))


def _read_record(folder: Path) -> dict[str, Any]:
    """Read what was written, or raise ValueError: half a truth would be worse than none."""
    content = (folder / _RECORD).read_bytes()
    record = dict(json.loads(content))
    record.pop("sha256", None)
    if _signed(record) != content:
        raise ValueError(content)
    return record


def _signed(record: Mapping[str, Any]) -> bytes:
    digest = hashlib.sha256(json.dumps(record).encode()).hexdigest()
    return json.dumps({"sha256": digest, **record}, indent=1).encode()
