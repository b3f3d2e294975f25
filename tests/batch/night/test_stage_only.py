"""`batch run --stage-only`, a look at what it staged, and `batch promote`."""

import json
import sys
from pathlib import Path

import pytest

from reco_store import Keys, NothingPublished, Reader, connect

# Whole runs, with small models.
pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[2] / "support" / "killed_batch.py"
SMALL = {"DIE_AT": "0", "DIE_OF": "SIGKILL", "MODELS": "small"}


@pytest.fixture(scope="module")
def own(batch, running, small, tmp_path_factory):
    """Yield `batch` and `reco` on a server and in a home of their own, and the server's address."""
    home = tmp_path_factory.mktemp("staged")
    reco = str(Path(sys.executable).with_name("reco"))
    with running() as url:
        place = {"REDIS_URL": url, "RECO_HOME": str(home), **SMALL}

        def run(*words, **more):
            return batch(*words, program=(sys.executable, str(PROGRAM)), **place, **more)

        def read(*words):
            return batch(*words, program=(reco,), **place)

        run.data, run.url, run.home, run.read = small, url, home, read
        yield run


@pytest.fixture(scope="module")
def staged(own):
    """Finished run that staged the namespace's first generation."""
    ended = own("run", "--data", own.data, "--stage-only")
    assert ended.code == 0, ended.err
    return ended


def test_it_is_looked_at_before_it_is_served(own, staged):
    """The run succeeds and serves nothing; readers that name the generation see all of it."""
    outcome, generation = staged.out.split()[:2]
    assert outcome == "staged"
    assert f"reco get-popular --generation {generation}" in staged.out
    assert f"promote {generation}" in staged.out
    with connect(own.url) as client:
        assert client.get(Keys("reco").current) is None
    with Reader(own.url) as reader, pytest.raises(NothingPublished):
        reader.user("1")

    seen = own.read("get-user", "1", "-n", "3", "--json", "--generation", generation)
    assert (seen.code, json.loads(seen.out)["generation"]) == (0, generation)
    assert own.read("get-user", "1").code == 5
    status = own.read("status", "--generation", generation, "--json")
    assert json.loads(status.out)["staged"] == generation
    row = next(r for r in own("generations").out.splitlines() if r.startswith(generation))
    assert "\tready\t" in row
    assert "staged: `batch promote` serves it" in row
    report = (own.home / "artifacts" / generation / "report.html").read_text("utf-8")
    assert "<h1>Staged</h1>" in report
    assert f"<code>batch promote {generation}</code>" in report

    metrics = own.home / "metrics.prom"
    promoted = own("promote", generation, "--metrics-file", metrics)
    assert (promoted.code, promoted.out.split()[:2]) == (0, ["live", generation])
    assert "reco_served_users" in metrics.read_text("utf-8")
    assert json.loads(own.read("get-user", "1", "--json").out)["generation"] == generation
    assert json.loads(own.read("status", "--json").out)["staged"] is None
    report = (own.home / "artifacts" / generation / "report.html").read_text("utf-8")
    assert "<h1>Live</h1>" in report


@pytest.mark.parametrize("name", ["20200101T000000Z-0000", "latest"])
def test_what_cannot_be_promoted_is_one_line(own, staged, name):
    """An unknown name, or none; the live generation stays."""
    ended = own("promote", name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.lines[-1].startswith("error: ")
