"""The lanes: how many there are, and what happens to the others when one training ends badly."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from reco_batch.night.once import Once
from reco_batch.progress.reporter import Cancelled, PlainReporter, QuietReporter


@pytest.mark.parametrize("reporter_type", [QuietReporter, PlainReporter])
def test_a_cancelled_stage_ends_at_its_next_step(reporter_type):
    """Nobody waits for a training whose result is not wanted any more."""
    reporter = reporter_type()
    with reporter.stage("train", total=2) as stage:
        stage.advance(1)
        reporter.cancel()
        with pytest.raises(Cancelled):
            stage.advance(1)


def test_the_first_failure_ends_the_other_lane():
    """The failure itself is what comes out, and at once."""
    from reco_batch.night.train_and_refit import _run_side_by_side  # noqa: PLC0415  # loads TensorFlow

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
        _run_side_by_side([endless, failing], reporter, lanes=2)
    assert ended == ["endless"]


@pytest.mark.parametrize("lanes", [1, 2])
def test_as_many_jobs_at_a_time_as_there_are_lanes(lanes):
    """In the order that they were given in."""
    from reco_batch.night.train_and_refit import _run_side_by_side  # noqa: PLC0415  # loads TensorFlow

    begun, running, most = [], set(), []

    def job(name: str) -> None:
        begun.append(name)
        running.add(name)
        time.sleep(0.1)  # for another lane to begin
        most.append(len(running))
        running.remove(name)

    _run_side_by_side([partial(job, name) for name in "abcd"], QuietReporter(), lanes=lanes)

    assert max(most) == lanes
    assert begun == list("abcd") if lanes == 1 else sorted(begun) == list("abcd")


def test_a_model_that_both_lanes_ask_for_is_trained_once():
    """The second to ask waits for the first; what failed is tried again by whoever asks next."""
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
