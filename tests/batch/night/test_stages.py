"""Stages of a run: order, skipping, sharing of models, and parallel jobs."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest

from reco_batch.artifact.unfinished import RunFolders, open_night
from reco_batch.night.stages import FILES, MODEL, VALUE, Once, Runner, Stage, run_side_by_side
from reco_batch.progress.reporter import Cancelled, PlainReporter, QuietReporter


@pytest.mark.parametrize("reporter_type", [QuietReporter, PlainReporter])
def test_a_cancelled_stage_ends_at_its_next_step(reporter_type):
    """A cancelled training does not run to its end."""
    reporter = reporter_type()
    with reporter.stage("train", total=2) as stage:
        stage.advance(1)
        reporter.cancel()
        with pytest.raises(Cancelled):
            stage.advance(1)


def test_the_first_failure_ends_the_other_job():
    """The failure itself is raised, at once."""
    reporter, training, ended = QuietReporter(), threading.Event(), []

    def endless() -> None:
        with reporter.stage("train") as stage:
            try:
                while True:
                    training.set()
                    stage.advance(1)
            finally:
                ended.append("endless")

    def failing() -> None:
        training.wait()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_side_by_side([endless, failing], reporter, lanes=2)
    assert ended == ["endless"]


@pytest.mark.parametrize("lanes", [1, 2])
def test_lanes_bound_the_jobs_at_a_time(lanes):
    """Jobs start in their order."""
    begun, running, most = [], set(), []

    def job(name: str) -> None:
        begun.append(name)
        running.add(name)
        time.sleep(0.1)  # another job may start
        most.append(len(running))
        running.remove(name)

    run_side_by_side([partial(job, name) for name in "abcd"], QuietReporter(), lanes=lanes)

    assert max(most) == lanes
    assert begun == list("abcd") if lanes == 1 else sorted(begun) == list("abcd")


def test_a_model_that_two_jobs_need_is_trained_once():
    """The second caller waits for the first; a failure is tried again by the next caller."""
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def train() -> object:
        calls.append(threading.current_thread().name)
        begun.set()
        assert go_on.wait(10)
        if len(calls) == 1:
            raise OSError("disk full")
        return object()

    once = Once(train)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(once)
        begun.wait(10)
        others = [pool.submit(once) for _ in range(2)]
        go_on.set()
        with pytest.raises(OSError, match="disk full"):
            first.result()
        found = [other.result() for other in others]

    assert found[0] is found[1] is once()
    assert len(calls) == 2


class Work:
    """Stages that append their name to a list."""

    def __init__(self, folder):
        self.folder = folder / "artifacts" / NAME
        self.done: list[str] = []

    def __call__(self, name, makes, needs=(), **more):
        """Return a stage that returns its name and its inputs."""

        def work(_, *inputs):
            self.done.append(name)
            for path in more.get("writes", ()):
                path.write_text(name)
            return [name, *inputs]

        return Stage(name, makes, work, needs, **more)

    def stages(self):
        """Return a chain: a value, a model of it, and a file and a value of the model."""
        return [
            self("choose", VALUE),
            self("train", MODEL, ["choose"]),
            self("write", FILES, ["train"], writes=[self.folder / "list"]),
            self("measure", VALUE, ["train"]),
            self("finish", FILES, ["measure"], writes=[self.folder / "manifest"]),
        ]


NAME = "20261124T031500Z-beef"


@pytest.fixture
def runner(tmp_path):
    """Return a function that makes the runner of some stages, on the same unfinished run."""
    place = RunFolders(tmp_path / "artifacts", tmp_path / "unfinished")
    (tmp_path / "artifacts" / NAME).mkdir(parents=True)
    opened = []

    def make(stages, reporter=None, *, resume=False, lanes=2):
        night = open_night(place, NAME, datetime.now(UTC), {}, resume=resume, show=lambda _: None)
        (tmp_path / "artifacts" / NAME).mkdir(parents=True, exist_ok=True)
        opened.append(night)
        return Runner(stages, night, reporter or QuietReporter(), lanes=lanes)

    return make


def test_a_model_is_made_when_a_stage_needs_it_and_only_once(runner, tmp_path):
    """All stages run in order, and each receives the results of its needs."""
    work = Work(tmp_path)
    stages = work.stages()
    received = []
    stages[-1] = stages[-1]._replace(
        work=lambda _, *inputs: received.extend(inputs), makes=VALUE, writes=()
    )

    made = runner(stages)
    assert [stage.name for stage in made.pending()] == [stage.name for stage in stages]
    made.run()

    assert work.done == ["choose", "train", "write", "measure"]
    assert received == [["measure", ["train", ["choose"]]]]
    assert made.pending() == []


@pytest.mark.parametrize(
    ("failing", "left"),
    [
        ("finish", ["finish"]),
        ("measure", ["train", "measure", "finish"]),
        ("train", ["train", "write", "measure", "finish"]),
    ],
)
def test_a_resumed_run_skips_complete_stages(runner, tmp_path, failing, left):
    """A model is made again only for a stage that is not complete."""
    work = Work(tmp_path)
    stages = work.stages()

    def fail(*_):
        raise OSError("disk full")

    broken = [s._replace(work=fail) if s.name == failing else s for s in stages]
    first = runner(broken)
    with pytest.raises(OSError, match="disk full"):
        first.run()
    first._night.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    work.done.clear()

    again = runner(stages, resume=True)

    assert [stage.name for stage in again.pending()] == left
    again.run()
    assert work.done == left


def test_a_model_is_released_after_its_last_use(runner, tmp_path):
    """Its checkpoints are deleted then, and not before."""
    work, seen = Work(tmp_path), []

    def look(*_):
        seen.append(checkpoints.exists())
        return 1

    stages = work.stages()
    stages[3:] = [stage._replace(work=look, makes=VALUE, writes=()) for stage in stages[3:]]
    made = runner(stages)
    checkpoints = made._night.checkpoints("train")
    checkpoints.mkdir(parents=True)

    made.run()

    assert seen == [True, False]
    assert made._results["train"]._values == []


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_model_after_another_is_made_in_its_job(runner, tmp_path, lanes):
    """The earlier one is complete and released by then, even if another thread is free."""
    work, alive = Work(tmp_path), []

    def refit(*_):
        alive.append(list(made._results["train"]._values))
        return "refitted"

    def measure(*_):
        time.sleep(0.1)
        return 1

    made = runner(
        [
            work("train", MODEL),
            work("measure", VALUE, ["train"])._replace(work=measure),
            Stage("refit", MODEL, refit, after="train"),
            work("write", FILES, ["refit"], writes=[work.folder / "list"]),
        ],
        lanes=lanes,
    )

    made.run()

    assert work.done == ["train", "write"]
    assert alive == [[]]


def test_stages_of_different_models_run_in_parallel(runner, tmp_path):
    """Each job waits for the other one to begin; the last stage waits for both."""
    work, both = Work(tmp_path), threading.Barrier(2)

    def meet(*_):
        both.wait(10)
        return 1

    stages = []
    for kind in ("rating", "retrieval"):
        stages += [
            work(f"train {kind}", MODEL)._replace(work=meet),
            work(f"measure {kind}", VALUE, [f"train {kind}"]),
        ]
    stages.append(work("finish", VALUE, ["measure rating", "measure retrieval"]))

    runner(stages).run()

    assert sorted(work.done[:2]) == ["measure rating", "measure retrieval"]
    assert work.done[2:] == ["finish"]


def test_a_stage_apart_runs_beside_the_others_of_its_model(runner, tmp_path):
    """Both wait for each other, and the model is made once and kept for both."""
    work, both = Work(tmp_path), threading.Barrier(2)

    def meet(_, model):
        both.wait(10)
        return model

    stages = [
        work("train", MODEL),
        work("lists", VALUE, ["train"])._replace(work=meet),
        work("save", VALUE, ["train"], apart=True)._replace(work=meet),
        work("finish", VALUE, ["lists", "save"]),
    ]

    runner(stages).run()

    assert work.done == ["train", "finish"]


def test_a_single_lane_completes_a_model_before_the_next(runner, tmp_path):
    """A stage apart does not keep the model while another is trained."""
    work = Work(tmp_path)
    stages = [
        work("train", MODEL),
        work("lists", VALUE, ["train"]),
        work("train again", MODEL),
        work("measure", VALUE, ["train again"]),
        work("save", VALUE, ["train"], apart=True),
    ]

    runner(stages, lanes=1).run()

    assert work.done == ["train", "lists", "save", "train again", "measure"]


def test_a_stage_that_is_not_shown_is_not_reported(runner, tmp_path):
    """The others are, under their names."""
    work, reporter = Work(tmp_path), QuietReporter()

    runner([work("a", VALUE), work("b", VALUE)._replace(shown=False)], reporter).run()

    assert list(reporter.seconds) == ["a"]
    assert work.done == ["a", "b"]
