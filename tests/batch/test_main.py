"""The package as a program: `python -m reco_batch` runs `batch`."""

import subprocess
import sys


def test_module_runs_as_the_command_does():
    """The help has the command's own name."""
    done = subprocess.run(
        [sys.executable, "-m", "reco_batch", "rollback", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lstrip().startswith("Usage: batch rollback")
