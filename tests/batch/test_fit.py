"""The lanes: what happens to the others when one training ends badly."""

import threading

import pytest

from reco_batch.progress import Cancelled, PlainReporter, QuietReporter


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
    from reco_batch.fit import _run_side_by_side  # noqa: PLC0415  # loads TensorFlow

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
        _run_side_by_side([endless, failing], reporter)
    assert ended == ["endless"]
