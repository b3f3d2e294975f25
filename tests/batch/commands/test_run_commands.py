"""Errors of a run whose generation is staged, but not served."""

import pytest

from reco_batch.commands.run_commands import _require_accepted
from reco_batch.errors import GateRefused
from reco_batch.settings.target import Target
from reco_store import Published, Verdict

REFUSED = Published(
    "20261124T031502Z-7f3a", "refused", None, Verdict(passed=False, reason="user.empty 7")
)


@pytest.mark.parametrize("name", ["report.html", ""])
def test_a_refusal_names_the_report_or_else_the_folder(tmp_path, name):
    """A full disk prevents the report, but not the error with the reason."""
    target = Target(None, "reco", tmp_path)
    folder = target.artifacts / REFUSED.generation
    folder.mkdir(parents=True)
    if name:
        (folder / name).write_text("<!doctype html>", "utf-8")
    with pytest.raises(GateRefused) as refusal:
        _require_accepted(REFUSED, target)
    assert refusal.value.account == str(folder / name)
    assert f": user.empty 7. See {folder / name}; " in str(refusal.value)
