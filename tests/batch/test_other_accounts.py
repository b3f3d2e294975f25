"""Artifacts of another account: one line that names the path and both accounts."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from reco_batch.files import unreadable

OTHER = 23456
ASK = """
import os, sys
from pathlib import Path
import _strptime, pwd
import reco_batch.report.report_file, reco_batch.evaluation.list_diff
import reco_batch.artifact.quarantine
from reco_batch.artifact.folder import open_artifact
from reco_batch.errors import NightFailed
os.setgroups([]); os.setgid({other}); os.setuid({other})
artifacts, name = Path(sys.argv[1]), sys.argv[2]
for ask in (
    lambda: reco_batch.report.report_file.report_of(artifacts, None, namespace="reco"),
    lambda: reco_batch.evaluation.list_diff.choose_runs(artifacts, None, None, namespace="reco"),
    lambda: reco_batch.artifact.quarantine.list_artifacts(artifacts, "reco"),
    lambda: open_artifact(artifacts, name),
):
    try:
        print("found", ask())
    except NightFailed as error:
        print(error)
"""


@pytest.mark.parametrize("closed", ["", "20261124T031502Z-7f3a"])
@pytest.mark.skipif(os.getuid() != 0, reason="acting as another account needs root")
def test_a_closed_folder_is_named_with_both_accounts(open_folder, closed):
    """The closed folder may be the folder of all artifacts or one of them."""
    artifacts = open_folder / "artifacts"
    night = artifacts / "20261124T031502Z-7f3a"
    night.mkdir(parents=True)
    (night / "manifest.json").write_text("{}", "utf-8")
    place = artifacts / closed
    place.chmod(0o700)

    lines = subprocess.run(
        [sys.executable, "-c", ASK.format(other=OTHER), artifacts, night.name],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()

    assert len(lines) == 4
    for line in lines:
        assert line.startswith(f"account {OTHER} has no permission to read {artifacts}")
        assert " (Permission denied); " in line
        assert f"{place} belongs to {pwd.getpwuid(os.getuid()).pw_name}" in line


@pytest.mark.skipif(os.getuid() != 0, reason="acting as another account needs root")
def test_a_folder_that_may_only_be_read_is_named_as_such(open_folder):
    """The error of a file that cannot be created there is about writing."""
    write = f"""
import os, sys
from pathlib import Path
import _strptime, pwd
from reco_batch.files import unreadable
os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})
try:
    Path(sys.argv[1], "new").touch()
except OSError as error:
    print(unreadable(error, Path("/x")))
"""
    open_folder.chmod(0o755)

    line = subprocess.run(
        [sys.executable, "-c", write, open_folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    assert line.startswith(
        f"account {OTHER} has no permission to write to {open_folder}/new (Permission denied); "
        f"{open_folder} belongs to "
    )
    assert "chmod g+rwX" in line


def test_other_errors_of_the_disk_name_no_account():
    """Other errors name the path and the reason, no account."""
    line = unreadable(OSError(5, "Input/output error"), Path("/x"))
    assert line.startswith("/x could not be read (Input/output error).")
