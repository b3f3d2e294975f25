"""State of an unfinished run, from which a later run can resume.

    <home>/unfinished/<namespace>/<generation>/
        lock                      locked by the running process; the system releases it
        night.json                fingerprint of the run, and its complete stages
        checkpoints/<training>/   see `checkpoints`

The artifact itself is written to its usual folder, and is incomplete without its manifest.json.
Publishing deletes the state; each namespace keeps only its newest unfinished run. A refresh has its
state in <namespace>+refresh while it writes its artifact, so that the next one deletes what a
killed one left.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from reco_batch.artifact.manifests import MANIFEST
from reco_batch.data.fingerprint import differences
from reco_batch.errors import AtWork
from reco_batch.files import delete, sha256, size_of, write_whole
from reco_store import RecoError, UsageError
from reco_store.contract.keys import is_generation_id

#: Last stage; complete only while all other stages are.
FINISH: Final = "finish the artifact"
_RECORD: Final = "night.json"
_LOCK: Final = "lock"

ShowLine = Callable[[str], None]
_Json = TypeVar("_Json")


class RunFolders(NamedTuple):
    """Folders of one namespace's runs."""

    artifacts: Path
    """Folder of all artifacts."""
    unfinished: Path
    """Folder of the namespace's unfinished runs."""

    @property
    def of_refreshes(self) -> "RunFolders":
        """Folders of its refreshes, which are not resumed and leave an unfinished run alone."""
        return self._replace(
            unfinished=self.unfinished.with_name(f"{self.unfinished.name}+refresh")
        )

    def discard(self, generation: str) -> None:
        """Delete an unfinished run, with its artifact unless that is complete."""
        artifact = self.artifacts / generation
        if not (artifact / MANIFEST).exists():
            shutil.rmtree(artifact, ignore_errors=True)
        self.forget(generation)  # last, because it lists the artifact

    def forget(self, generation: str) -> None:
        """Delete the state of a run, but not its artifact."""
        shutil.rmtree(self.unfinished / generation, ignore_errors=True)
        with suppress(OSError):  # other runs are in it
            self.unfinished.rmdir()


class UnfinishedNight:
    """Run under way, with the stages that are complete.

    Leaving the `with` block without an error deletes its state; an error keeps it. Methods may be
    called from several threads.
    """

    def __init__(
        self,
        folders: RunFolders,
        generation: str,
        record: Mapping[str, Any],
        lock: int,
        *,
        resumed: bool,
    ) -> None:
        self.generation = generation
        self.started = datetime.fromisoformat(record["started"])
        self.resumed = resumed
        self.artifact_folder = folders.artifacts / generation
        self._folders = folders
        self._folder = folders.unfinished / generation
        self._record = record
        self._stages: dict[str, Any] = dict(record["stages"])
        self._lock = lock
        self._changing = threading.Lock()

    def __enter__(self) -> Self:
        """Return the run."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Delete the state if the run is published or never will be; otherwise add a hint."""
        if error is None or isinstance(error, UsageError):
            self._folders.forget(self.generation)
        elif isinstance(error, RecoError | KeyboardInterrupt) and self._folder.exists():
            error.add_note(f"To continue {self.generation}: `batch run --resume`.")
        os.close(self._lock)

    def is_complete(self, stage: str) -> bool:
        """Return whether a stage is complete."""
        return stage in self._stages

    def value(
        self, stage: str, compute: Callable[[], _Json], *, may_write: Sequence[Path] = ()
    ) -> _Json:
        """Return the JSON value of a stage, computing it if necessary.

        Args:
            stage: name of the stage.
            compute: returns the value.
            may_write: files in the artifact's folder that computing the value may write.

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
        """Write the files of a stage, unless they are complete.

        Args:
            stage: name of the stage.
            paths: all files and folders that it writes, in the artifact's folder.
            write: writes them; none of them exists when it is called.

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
            for path in paths:  # useless to a later run, and the disk may be full
                with suppress(OSError):
                    delete(path)
            raise
        self._complete(stage, {"sha256": self._digests(paths)})

    def _digests(self, paths: Sequence[Path]) -> dict[str, str]:
        return {str(path.relative_to(self.artifact_folder)): sha256(path) for path in paths}

    def checkpoints(self, training: str) -> Path:
        """Return the checkpoint folder of a training."""
        return self._folder / "checkpoints" / training.replace(" ", "-")

    def forget(self, training: str) -> None:
        """Delete the checkpoints of a training, once all that needs its model is complete."""
        delete(self.checkpoints(training))

    def _complete(self, stage: str, outcome: Mapping[str, Any]) -> None:
        with self._changing:
            self._stages[stage] = outcome
            _write_record(self._folder, {**self._record, "stages": self._stages})


def open_night(
    folders: RunFolders,
    generation: str,
    started: datetime,
    made_of: Mapping[str, Any],
    *,
    resume: bool,
    show: ShowLine,
) -> UnfinishedNight:
    """Resume the newest unfinished run with the same fingerprint, or begin one; delete all others.

    Args:
        folders: folders of the namespace's runs.
        generation: name of a new run.
        started: start of a new run.
        made_of: fingerprint of the run.
        resume: False to begin a new run in any case.
        show: shows a line of text.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    night = None
    for folder in _newest_first(folders.unfinished):
        lock = _locked(folder)
        if lock is None:  # a run is under way, for another server
            continue
        if resume and night is None:
            night = _resumed(folders, folder, made_of, lock, show)
            if night is not None:
                continue
        folders.discard(folder.name)
        os.close(lock)
    if night is None:
        if resume:
            show("nothing to resume; starting a new run")
        night = _begun(folders, generation, started, made_of)
    return night


@contextmanager
def written_at_once(folders: RunFolders, generation: str) -> Iterator[None]:
    """Write an artifact that is never resumed; in the end, delete it unless it is complete.

    Meanwhile its state is locked, by which `discard_unfinished` finds what a killed process left.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    lock = _new_state(folders.unfinished / generation)
    try:
        yield
    finally:
        folders.discard(generation)
        os.close(lock)


def discard_unfinished(folders: RunFolders) -> int:
    """Delete the unfinished runs of a namespace, and return how many there were.

    Raises:
        AtWork: a run is under way, for another server.
        OSError: a folder cannot be read.
    """
    count = 0
    for folder in _newest_first(folders.unfinished):
        lock = _locked(folder)
        if lock is None:
            raise AtWork(f"a run for another server, {folder.name},")
        folders.discard(folder.name)
        os.close(lock)
        count += 1
    return count


def unfinished_generations(unfinished: Path) -> set[str]:
    """Return the unfinished generations of all namespaces."""
    found: set[str] = set()
    for namespace in unfinished.glob("*"):
        with suppress(OSError):  # its last run has just ended, or this account may not read it
            found.update(path.name for path in namespace.iterdir())
    return found


def reusable_bytes(folders: RunFolders, *, resume: bool) -> int:
    """Return the size of the files that `open_night` will delete or resume with, in bytes.

    They belong to this namespace's unfinished runs that no process has locked. A complete artifact
    is not deleted, so it counts only if it is resumed; only the newest run is resumed.
    """
    size = 0
    with suppress(OSError):  # folders that this account may not read are not counted
        for folder in _newest_first(folders.unfinished):
            lock = _locked(folder)
            if lock is None:
                continue
            os.close(lock)
            artifact = folders.artifacts / folder.name
            size += size_of(folder)
            if resume or not (artifact / MANIFEST).exists():
                size += size_of(artifact)
            resume = False
    return size


def is_full(error: OSError) -> bool:
    """Return whether an error means that the disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _begun(
    folders: RunFolders, generation: str, started: datetime, made_of: Mapping[str, Any]
) -> UnfinishedNight:
    folder = folders.unfinished / generation
    record = {"started": started.isoformat(timespec="seconds"), "made_of": made_of, "stages": {}}
    try:
        lock = _new_state(folder)
        _write_record(folder, record)
    except OSError as error:
        if is_full(error):
            folders.discard(generation)
        raise
    return UnfinishedNight(folders, generation, record, lock, resumed=False)


def _new_state(folder: Path) -> int:
    """Create the folder of a run, and lock it."""
    folder.mkdir(parents=True)
    lock = _locked(folder)
    if lock is None:
        raise FileExistsError(errno.EEXIST, "another run took the same name", str(folder))
    return lock


def _resumed(
    folders: RunFolders, folder: Path, made_of: Mapping[str, Any], lock: int, show: ShowLine
) -> UnfinishedNight | None:
    try:
        record = _read_record(folder)
    except (OSError, TypeError, ValueError):
        show(f"{folder.name} is not resumed: its {_RECORD} is damaged or missing")
        return None
    if differ := differences(record["made_of"], made_of):
        show(f"{folder.name} is not resumed: {'; '.join(differ)}")
        return None
    artifact = folders.artifacts / folder.name
    stages = dict(_still_complete(artifact, record["stages"], show))
    if len(stages) < len(record["stages"]):
        stages.pop(FINISH, None)
    if FINISH not in stages:
        (artifact / MANIFEST).unlink(missing_ok=True)  # otherwise it would look complete
    show(f"resuming {folder.name}; complete: {', '.join(stages) or 'nothing yet'}")
    return UnfinishedNight(folders, folder.name, {**record, "stages": stages}, lock, resumed=True)


def _still_complete(
    artifact: Path, stages: Mapping[str, Any], show: ShowLine
) -> Iterator[tuple[str, Any]]:
    """Yield the stages whose files are unchanged, with their outcomes."""
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
            show(f"{stage}: {changed[0]} was changed since it was written; recomputing")
        else:
            yield stage, outcome


def _locked(folder: Path) -> int | None:
    """Lock the folder of a run; return None if a process has locked it."""
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
    """Return the record of a run.

    Raises:
        OSError: the file cannot be read.
        TypeError, ValueError: the file is damaged.
    """
    content = (folder / _RECORD).read_bytes()
    record = dict(json.loads(content))
    record.pop("sha256", None)
    if _signed(record) != content:
        raise ValueError(content)
    return record


def _signed(record: Mapping[str, Any]) -> bytes:
    digest = hashlib.sha256(json.dumps(record).encode()).hexdigest()
    return json.dumps({"sha256": digest, **record}, indent=1).encode()
