"""Promise 19: a run killed during training resumes and produces the same bytes.

A checkpoint truncated at any byte is rejected, never loaded.
"""

from __future__ import annotations

import re
import shutil

import pytest

from csv_folders import planted, write_folder
from real_servers import running_server
from resumed_nights import (
    KILLED,
    ResumedNights,
    answers,
    artifact,
    is_unfinished,
    settled,
    unfinished,
)

FEWEST_STEPS = 110  # of about 140: files, checkpoints, blocks of lists, batches of keys
MOST_STEPS = 200
CHOOSE = "choose for this catalogue"


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Yield runs of sixty users with their own server."""
    data = write_folder(tmp_path_factory.mktemp("data"), *planted())
    with running_server() as url:
        yield ResumedNights(data, url)


@pytest.fixture(scope="module")
def uninterrupted(nights, tmp_path_factory):
    """Return the answers of an uninterrupted run that starts from its own choice, as later ones."""

    def run():
        home = tmp_path_factory.mktemp("uninterrupted")
        code, output = nights.run(home)
        assert code == 0, output
        nights.require_live(home)
        return home

    found = answers(settled(run))
    assert len(found[0]) == 11  # seven families of lists, the cards, the weights of three models
    return found


def cut_newest(checkpoints, chance):
    """Truncate the newest checkpoint of the training with the fewest epochs."""
    found = sorted(checkpoints.rglob("epoch-*/state.index"))
    newest = {path.parents[1]: path for path in found}.values()
    index = min(newest, key=lambda path: path.parent.name)
    index.write_bytes(index.read_bytes()[: chance.randrange(index.stat().st_size)])


def test_19_training_resumes(nights, uninterrupted, draw, many, tmp_path):
    """A run killed repeatedly, once with a truncated checkpoint, gives the same answers."""
    for trial in range(many(1, 20)):
        chance, home, output = draw(trial), tmp_path / str(trial), []
        for attempt, steps in enumerate([(40, 47), (8, 18), (8, 18)]):
            code, lines = nights.run(home, "--resume", at=chance.randrange(*steps))
            assert code == KILLED, lines
            assert not (artifact(home) / "manifest.json").exists()
            output += lines
            if attempt == 0:
                cut_newest(unfinished(home) / "checkpoints", chance)

        code, lines = nights.run(home, "--resume")

        assert code == 0, lines
        text = "\n".join((*output, *lines))
        assert text.count("nothing to resume; starting a new run") == 1
        assert text.count(f"resuming {artifact(home).name}") == 3
        assert re.search(r"(train|refit) [^:]+: epoch-\d+ is truncated or corrupt", text)
        assert re.search(r"(train|refit) [^:]+: resuming after epoch \d", text)
        assert answers(home) == uninterrupted
        nights.require_live(home)


def test_19_killed_at_every_step(nights, uninterrupted, draw, many, tmp_path):
    """Killed at any write and resumed once, a run gives the same answers.

    The long form tests every file, checkpoint, block of a list and batch of keys; the short form
    tests one of them.
    """
    steps = range(1, many(FEWEST_STEPS, MOST_STEPS))
    for at in sorted(draw().sample(steps, many(1, len(steps)))):
        home = tmp_path / str(at)
        code, output = nights.run(home, at=at)
        if code == 0:
            break  # this run has fewer steps
        assert code == KILLED, output
        if is_unfinished(home):  # else the run had published and died while it tidied up
            code, output = nights.run(home, "--resume")
            assert code == 0, (at, output)
            nights.require_live(home)
        nights.require_served(home)
        assert answers(home) == uninterrupted, at
        shutil.rmtree(home)
    assert many(0, FEWEST_STEPS) < at < MOST_STEPS - 1


def test_19_a_choice_is_made_once(nights, uninterrupted, tmp_path):
    """Killed after the choice, a run trains with the chosen values and does not choose again."""
    code, output = nights.run(tmp_path, at=CHOOSE)
    assert code == KILLED, output

    code, output = nights.run(tmp_path, "--resume")

    assert code == 0, output
    assert not any(CHOOSE in line for line in output if "complete: " not in line)
    assert answers(tmp_path) == uninterrupted
    nights.require_live(tmp_path)


class Loaded(Exception):
    """Raised when variables are accessed to load a saved state."""


class Untouchable:
    """Stand-in for a model and its optimizer that detects loading."""

    @property
    def variables(self):
        """Raise Loaded."""
        raise Loaded


@pytest.fixture(scope="module")
def checkpoint(nights, tmp_path_factory):
    """Yield a complete checkpoint of a killed run."""
    from reco_batch.models.training.checkpoints import is_whole  # noqa: PLC0415  # loads TensorFlow

    home = tmp_path_factory.mktemp("killed")
    code, output = nights.run(home, at=45)
    assert code == KILLED, output
    found = unfinished(home).glob("checkpoints/**/epoch-*")
    return max((folder for folder in found if is_whole(folder)), key=lambda path: path.name)


def test_19_a_cut_checkpoint_is_never_loaded(checkpoint, draw, many, tmp_path):
    """A checkpoint with any file truncated is rejected before anything is loaded."""
    from reco_batch.models.training.checkpoints import Checkpoints  # noqa: PLC0415

    def restore():
        output = []
        checkpoints = Checkpoints(tmp_path, training="it", every_seconds=0, show=output.append)
        return checkpoints.restore(Untouchable(), Untouchable()), output

    copy = tmp_path / checkpoint.name
    shutil.copytree(checkpoint, copy)
    with pytest.raises(Loaded):
        restore()
    for file in sorted(checkpoint.iterdir()):
        content = file.read_bytes()
        drawn = draw(file.name).sample(range(len(content)), min(many(20, 4000), len(content)))
        for cut in {0, len(content) - 1, *drawn}:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(checkpoint, copy)
            (copy / file.name).write_bytes(content[:cut])
            assert restore() == (0, [f"it: {copy.name} is truncated or corrupt; skipped"])
            assert not copy.exists()
