"""Unfinished runs: complete stages, resuming, and deletion."""

import errno
import json
import shutil
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from reco_batch.artifact.unfinished import (
    FINISH,
    RunFolders,
    discard_unfinished,
    is_full,
    open_night,
    reusable_bytes,
    unfinished_generations,
    written_at_once,
)
from reco_batch.errors import AtWork, NightFailed
from reco_batch.files import size_of
from reco_store import UsageError

STARTED = datetime(2026, 11, 24, 3, 15, 2, tzinfo=UTC)
OLDEST, OLDER, NAME, NEWER = (f"2026112{day}T031502Z-7f3a" for day in (2, 3, 4, 5))
MADE_OF = {"seed": 42, "rating_scale": [0.5, 5.0]}


class Killed(BaseException):
    """Error in place of a kill."""


@pytest.fixture
def place(tmp_path):
    """Folders of the namespace's runs."""
    return RunFolders(tmp_path / "artifacts", tmp_path / "unfinished" / "reco")


@pytest.fixture
def shown():
    """Lines that were shown."""
    return []


@pytest.fixture
def opened(place, shown):
    """Open a run; by default without resuming."""

    def open_(name=NAME, *, made_of=MADE_OF, resume=False):
        return open_night(place, name, STARTED, made_of, resume=resume, show=shown.append)

    return open_


def write(night, name, content="lists"):
    """Write the file `name` in a stage of this name."""
    file = night.artifact_folder / name

    def fill():
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    night.output(name, [file], fill)


@contextmanager
def killed(night):
    """End the block as a killed process does."""
    with suppress(Killed), night:
        yield night
        raise Killed


def kill(night, *stages):
    """Let a run complete some stages."""
    with killed(night):
        for stage in stages:
            write(night, stage)


def names(folder):
    """Return the content of a folder."""
    return sorted(path.name for path in folder.iterdir())


def unexpected():
    """Fail, because the stage is already complete."""
    raise AssertionError


def test_a_successful_run_leaves_its_artifact(opened, place):
    """A run that ends without an error leaves no state."""
    with opened() as night:
        write(night, "user")

    assert (place.artifacts / NAME / "user").read_text() == "lists"
    assert not place.unfinished.exists()


def test_complete_stages_are_not_repeated(opened, shown):
    """Complete files and values are not computed again; name and start stay."""
    kill(opened(), "user", "similar")
    metrics = {"rmse": 0.1 + 0.2, "none": {}}
    with killed(opened(NEWER, resume=True)) as night:
        assert night.value("measure", lambda: metrics) == metrics

    with opened(NEWER, resume=True) as night:
        assert (night.generation, night.started, night.resumed) == (NAME, STARTED, True)
        night.output("user", [night.artifact_folder / "user"], unexpected)
        assert night.value("measure", unexpected) == metrics
        assert not night.is_complete("ranked")
        write(night, "ranked")

    assert shown == [
        f"resuming {NAME}; complete: user, similar",
        f"resuming {NAME}; complete: user, similar, measure",
    ]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_value_and_its_files_belong_together(opened, place, shown, damaged):
    """A value is computed again if the file written with it is missing."""
    file = place.artifacts / NAME / "users"

    def measured(figure):
        def compute():
            assert not file.exists()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(figure)
            return figure

        return compute

    paths = [file, file.with_name("of another kind of run")]
    with killed(opened()) as night:
        assert night.value("measure", measured("0.8"), may_write=paths) == "0.8"
    if damaged:
        file.write_text("0.")

    with opened(resume=True) as night:
        known = night.value("measure", measured("0.9"), may_write=paths)

    assert known == file.read_text() == ("0.9" if damaged else "0.8")
    assert ("measure: users was changed since it was written; recomputing" in shown) == damaged


def test_a_stage_that_was_cut_short_begins_with_nothing(opened, place):
    """The files of an incomplete stage are deleted before it starts again."""
    kill(opened())
    for name in ("user", "model/variables"):
        (place.artifacts / NAME / name).mkdir(parents=True)

    with opened(resume=True) as night:
        write(night, "user")
        write(night, "model")

    assert (place.artifacts / NAME / "user").is_file()


@pytest.mark.parametrize("how", ["missing", "cut", "changed"])
def test_a_changed_file_is_written_again(opened, place, shown, how):
    """A changed file invalidates its stage and the manifest, and no other stage."""
    kill(opened(), "user", "similar", "manifest.json", FINISH)
    file = place.artifacts / NAME / "similar"
    if how == "missing":
        file.unlink()
    else:
        file.write_text({"cut": "list", "changed": "lisps"}[how])

    with opened(resume=True) as night:
        assert [night.is_complete(stage) for stage in ("user", "similar", FINISH)] == [
            *(True, False, False),
        ]
        assert not (night.artifact_folder / "manifest.json").exists()
        write(night, "similar")

    assert shown == [
        "similar: similar was changed since it was written; recomputing",
        f"resuming {NAME}; complete: user, manifest.json",
    ]


def test_a_finished_artifact_stays_finished(opened, place):
    """A finished artifact stays complete while all its files are unchanged."""
    manifest = place.artifacts / NAME / "manifest.json"
    with killed(opened()) as night:
        write(night, "user")
        night.output(FINISH, [manifest], lambda: manifest.write_text("{}"))

    with opened(resume=True) as night:
        assert night.is_complete(FINISH)

    assert manifest.exists()


def test_a_manifest_whose_stage_was_not_recorded_is_written_again(opened, place):
    """After a kill between two stages, the artifact does not look complete."""
    kill(opened(), "user")
    (place.artifacts / NAME / "manifest.json").write_text("{}")

    with opened(resume=True) as night:
        assert not night.is_complete(FINISH)
        assert not (place.artifacts / NAME / "manifest.json").exists()


def test_a_run_with_another_fingerprint_is_not_resumed(opened, place, shown):
    """The reason is shown, and the old state is deleted."""
    kill(opened(), "user")

    with opened(NEWER, made_of={"seed": 43, "rating_scale": [0.5, 5.0]}, resume=True) as night:
        assert (night.generation, night.resumed, night.is_complete("user")) == (NEWER, False, False)
        assert names(place.unfinished) == [NEWER]

    assert shown == [
        f"{NAME} is not resumed: seed was 42, is 43",
        "nothing to resume; starting a new run",
    ]
    assert not (place.artifacts / NAME).exists()


def test_nothing_to_resume(opened, shown):
    """The run starts anew, and a line reports it."""
    with opened(resume=True) as night:
        assert not night.resumed

    assert shown == ["nothing to resume; starting a new run"]


def test_a_plain_run_deletes_unfinished_ones(opened, place, shown):
    """Complete artifacts and folders with other names stay."""
    kill(opened(OLDER), "user", "manifest.json")
    place.unfinished.joinpath("notes").mkdir()
    place.artifacts.joinpath("notes").mkdir()

    kill(opened(), "user")
    kill(opened(NEWER), "user")

    assert names(place.unfinished) == [NEWER, "notes"]
    assert names(place.artifacts) == [OLDER, NEWER, "notes"]
    assert shown == []


@pytest.mark.parametrize("resume", [False, True])
def test_reusable_bytes_are_those_deleted_or_resumed(opened, place, resume):
    """Complete, locked and other namespaces' artifacts are not deleted."""
    home = place.artifacts.parent
    kill(opened(OLDER), "user", "manifest.json")  # complete, and its run was forgotten
    other = RunFolders(place.artifacts, place.unfinished.with_name("other"))
    kill(open_night(other, OLDEST, STARTED, MADE_OF, resume=False, show=print), "user")
    with opened() as at_work:
        write(at_work, "user")
        kill(opened(NEWER), "user", "similar")
        before = size_of(home)

        reusable = reusable_bytes(place, resume=resume)

        with killed(opened("20261130T000000Z-0000", resume=resume)) as night:
            known = size_of(place.unfinished / night.generation) + size_of(night.artifact_folder)
            assert reusable > 0
            assert reusable == before - size_of(home) + known


def test_a_complete_artifact_is_reusable_only_if_it_is_resumed(opened, place):
    """A run without resuming keeps it."""
    kill(opened(), "user", "manifest.json")
    kept = size_of(place.artifacts)

    plain, resumed = (reusable_bytes(place, resume=resume) for resume in (False, True))

    assert resumed == plain + kept > kept


def test_of_several_the_newest_that_fits_is_resumed(opened, place, shown):
    """All others are deleted."""
    kill(opened(OLDER), "user")
    for folder in place:
        shutil.copytree(folder / OLDER, folder / OLDEST)
        folder.joinpath(NAME).mkdir()
        folder.joinpath(NEWER).mkdir()
    place.unfinished.joinpath(NAME, "night.json").write_text("{")

    with opened("20261130T000000Z-0000", resume=True) as night:
        assert night.generation == OLDER
        assert names(place.unfinished) == [OLDER]

    assert names(place.artifacts) == [OLDER]
    damaged = "is not resumed: its night.json is damaged or missing"
    assert shown[:2] == [f"{NEWER} {damaged}", f"{NAME} {damaged}"]


def test_a_run_under_way_is_left_alone(opened, place, shown):
    """The unfinished run of another server is locked, because the run lock is per server."""
    with opened() as at_work:
        write(at_work, "user")
        kill(opened(NEWER))
        with opened(NEWER, resume=True) as other:
            assert other.generation == NEWER
        assert names(place.unfinished) == [NAME]
        write(at_work, "similar")

    assert shown == [f"resuming {NEWER}; complete: nothing yet"]


def test_other_namespaces_are_left_alone(opened, place):
    """Each namespace has its folder; all are listed as unfinished."""
    other = RunFolders(place.artifacts, place.unfinished.with_name("other"))
    kill(open_night(other, OLDER, STARTED, MADE_OF, resume=False, show=print))

    kill(opened())

    assert unfinished_generations(place.unfinished.parent) == {OLDER, NAME}


def test_a_damaged_record_is_refused(opened, place):
    """A record cut or changed at any byte is refused."""
    with killed(opened()) as night:
        night.value("measure", lambda: {"rmse": 0.9})
    record = place.unfinished / NAME / "night.json"
    good = record.read_bytes()
    assert json.loads(good)["stages"] == {"measure": {"value": {"rmse": 0.9}}}
    from reco_batch.artifact.unfinished import _read_record  # noqa: PLC0415

    for at in range(len(good)):
        changed = good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :]
        for content in (good[:at], changed):
            record.write_bytes(content)
            with pytest.raises(ValueError):  # noqa: PT011  # of JSON, of UTF-8, or ours
                _read_record(record.parent)


def test_the_error_of_a_failed_run_names_the_command_to_resume(opened):
    """The hint is one line, for mail of cron."""
    with pytest.raises(NightFailed) as failed, opened():
        raise NightFailed("the server is gone.")

    assert failed.value.__notes__ == [f"To continue {NAME}: `batch run --resume`."]


def test_a_run_that_can_never_be_published_is_not_kept(opened, place):
    """No hint: the generation was rolled back, so resuming would always fail."""
    with pytest.raises(UsageError) as failed, opened():
        raise UsageError("it is quarantined")

    assert not hasattr(failed.value, "__notes__")
    assert not place.unfinished.exists()


def test_a_full_disk_costs_only_the_file_that_did_not_fit(opened, place):
    """Complete stages stay for resuming; the torn file is deleted to free space."""
    error = NightFailed("the disk is full.")

    def fill_the_disk():
        with opened() as night:
            write(night, "user")
            torn = night.artifact_folder / "ranked"

            def write_half():
                torn.write_bytes(b"half")
                raise error

            night.output("ranked", [torn], write_half)

    with pytest.raises(NightFailed):
        fill_the_disk()
    assert error.__notes__ == [f"To continue {NAME}: `batch run --resume`."]
    assert not (place.artifacts / NAME / "ranked").exists()
    with opened(resume=True) as night:
        assert night.is_complete("user")
        assert not night.is_complete("ranked")


def test_which_errors_mean_a_full_disk():
    """The disk or the user's quota is full."""
    full = [OSError(code, "") for code in (errno.ENOSPC, errno.EDQUOT)]

    assert all(map(is_full, full))
    assert not any(map(is_full, [OSError(errno.EACCES, ""), OSError("no code")]))


def test_a_disk_that_is_full_at_once(opened, place, monkeypatch):
    """A run that could not begin leaves no files."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("reco_batch.artifact.unfinished.write_whole", fail)

    with pytest.raises(OSError, match="No space left"):
        opened()
    assert not place.unfinished.exists()


@pytest.mark.parametrize("is_complete", [True, False])
def test_an_artifact_written_at_once_is_complete_or_deleted(place, is_complete):
    """Meanwhile it is not deleted; what a killed process leaves, the next one deletes."""
    artifact = place.artifacts / NAME
    with suppress(Killed), written_at_once(place, NAME):
        artifact.mkdir(parents=True)
        with pytest.raises(AtWork):
            discard_unfinished(place)
        if not is_complete:
            raise Killed
        (artifact / "manifest.json").touch()
    assert artifact.exists() == is_complete
    assert not place.unfinished.exists()

    left = place.artifacts / NEWER
    left.mkdir(parents=True)
    (place.unfinished / NEWER).mkdir(parents=True)
    assert discard_unfinished(place) == 1
    assert not left.exists()


def test_checkpoints_of_a_training(opened, place):
    """Checkpoints have a folder of their own until the model is no longer needed."""
    with opened() as night:
        folder = night.checkpoints("train rating")
        (folder / "epoch-0001").mkdir(parents=True)

        night.forget("train rating")

        assert folder == place.unfinished / NAME / "checkpoints" / "train-rating"
        assert not folder.exists()
