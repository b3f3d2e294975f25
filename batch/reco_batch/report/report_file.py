"""File report.html of an artifact: write it, find it, open it in a browser."""

import webbrowser
from pathlib import Path

from reco_batch.artifact.folder import REPORT, Artifact, artifacts_of, open_artifact
from reco_batch.artifact.manifests import MANIFEST
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable, write_whole
from reco_batch.report.page import gather
from reco_batch.report.render import render
from reco_store import UsageError
from reco_store.contract.keys import parse_generation_id


def write_report(artifact: Artifact) -> Path:
    """Write the report of a run into its folder.

    Returns:
        The file.

    Raises:
        NightFailed: a file of the artifact is damaged or missing.
        OSError: the disk is full or the folder cannot be written; an older report stays.
    """
    path = artifact.folder / REPORT
    content = render(gather(artifact)).encode("utf-8", "backslashreplace")
    write_whole(path, content)
    return path


def report_of(artifacts: Path, generation: str | None, *, namespace: str) -> Path:
    """Return the report of a run; write it first if it is missing or older than the verdict.

    Args:
        artifacts: the folder of all artifacts.
        generation: generation of the run; None: the newest one of the namespace.
        namespace: namespace of the newest run.

    Raises:
        UsageError: `generation` is not the name of a generation.
        NightFailed: there is no such artifact, it is damaged, or the report cannot be written.
    """
    if generation is None:
        kept = artifacts_of(artifacts, namespace)
        if not kept:
            raise NightFailed(
                f"no complete artifact of the namespace {namespace!r} in {artifacts}; expected "
                "one. Run `batch run`, or name another --home or --namespace."
            )
        artifact = kept[-1]
    else:
        parse_generation_id(generation)  # rather than follow `..` out of the folder
        artifact = open_artifact(artifacts, generation)
    path = artifact.folder / REPORT
    if not path.exists() or path.stat().st_mtime < (artifact.folder / MANIFEST).stat().st_mtime:
        try:
            write_report(artifact)
        except PermissionError as error:
            raise NightFailed(unreadable(error, path)) from error
        except OSError as error:
            raise NightFailed(
                f"the report {path} could not be written ({error.strerror or error}). "
                "Make room there, or copy the folder to a place that you may write to."
            ) from error
    return path


def open_report(path: Path) -> None:
    """Open a report in the user's browser.

    Raises:
        UsageError: no browser could be started.
    """
    if not webbrowser.open(path.as_uri()):
        raise UsageError(f"no browser could be started. Open {path} yourself.")
