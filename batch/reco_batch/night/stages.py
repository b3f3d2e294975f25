"""Stages of a run, and the runner that skips, shows and parallelises them by their list."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from enum import Enum, auto
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from reco_batch.artifact.unfinished import UnfinishedNight
from reco_batch.progress.reporter import QuietReporter, Reporter
from reco_batch.settings.processors import release_memory


class Makes(Enum):
    """Kind of result of a stage, which decides what a resumed run does with it."""

    FILES = auto()
    """Files of the artifact; skipped if they are complete."""
    VALUE = auto()
    """JSON value; read from the record of the unfinished run if it is complete."""
    MODEL = auto()
    """Object in memory; made if a stage that is not complete needs it, and released after use."""


FILES, VALUE, MODEL = Makes.FILES, Makes.VALUE, Makes.MODEL


class Stage(NamedTuple):
    """One stage of a run."""

    name: str
    makes: Makes
    work: Callable[..., Any]
    """Called with the progress of the stage and the results of `needs`."""
    needs: Sequence[str] = ()
    """Names of earlier stages whose results `work` takes."""
    writes: Sequence[Path] = ()
    """Files and folders inside the artifact that `work` writes."""
    total: int | None = None
    """Steps of the progress; None if unknown."""
    shown: bool = True
    """True if the stage is reported."""
    apart: bool = False
    """True for a job of its own, in whichever thread is free, instead of one in its model's."""
    after: str | None = None
    """Model of an earlier stage in whose job this model's stages run, and so after it."""


class Runner:
    """Runs a list of stages in order."""

    def __init__(
        self, stages: Sequence[Stage], night: UnfinishedNight, reporter: Reporter, *, lanes: int
    ) -> None:
        """Prepare to run.

        Args:
            stages: the list. Stages of one model, and of one `after` it, run one after another in
                a thread; those of different models run in parallel, unless a stage without a model
                is between them.
            night: record of the complete stages.
            reporter: shows each stage.
            lanes: jobs at a time; with one, no stage is `apart`, since a model would be kept
                meanwhile.
        """
        self._stages = stages
        self._night, self._reporter, self._lanes = night, reporter, lanes
        self._results = {stage.name: Once(partial(self._make, stage)) for stage in stages}
        self._models = {stage.name for stage in stages if stage.makes is MODEL}
        self._after = {stage.name: stage.after for stage in stages if stage.after}
        self._uses = Counter(need for stage in stages for need in stage.needs)
        self._releasing = threading.Lock()

    def pending(self) -> list[Stage]:
        """Return the stages that are not complete, and the models that these need."""
        undone = [
            stage
            for stage in self._stages
            if stage.makes is not MODEL and not self._night.is_complete(stage.name)
        ]
        needed = {need for stage in undone for need in stage.needs} & self._models
        return [stage for stage in self._stages if stage in undone or stage.name in needed]

    def run(self) -> None:
        """Run all stages that are not complete.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        for parallel, group in groupby(self._stages, lambda stage: self._job(stage) is not None):
            jobs: dict[str | None, list[Stage]] = {}
            for stage in group:
                jobs.setdefault(self._job(stage), []).append(stage)
            work = [partial(self._run, stages) for stages in jobs.values()]
            if parallel:
                run_side_by_side(work, self._reporter, lanes=self._lanes)
            else:
                for job in work:
                    job()

    def _job(self, stage: Stage) -> str | None:
        """Return the model that a stage makes or needs first, or the stage itself if it is apart.

        The earlier model if that one is made `after` another; None without a model.
        """
        if stage.apart and self._lanes > 1:
            return stage.name
        names = [stage.name, *stage.needs]
        model = next((name for name in names if name in self._models), None)
        return None if model is None else self._after.get(model, model)

    def _run(self, stages: Iterable[Stage]) -> None:
        for stage in stages:
            if stage.makes is not MODEL:  # a model is made by the first stage that needs it
                self._results[stage.name]()
                self._release(stage.needs)

    def _make(self, stage: Stage) -> Any:  # noqa: ANN401  # result of any stage
        if stage.makes is FILES:
            return self._night.output(stage.name, stage.writes, partial(self._work, stage))
        if stage.makes is VALUE:
            work = partial(self._work, stage)
            return self._night.value(stage.name, work, may_write=stage.writes)
        return self._work(stage)

    def _work(self, stage: Stage) -> Any:  # noqa: ANN401  # result of any stage
        inputs = [self._results[need]() for need in stage.needs]  # models are stages of their own
        reporter = self._reporter if stage.shown else QuietReporter()
        with reporter.stage(stage.name, total=stage.total) as progress:
            result = stage.work(progress, *inputs)
        release_memory()
        return result

    def _release(self, needs: Iterable[str]) -> None:
        """Release the models that no later stage needs, and delete their checkpoints."""
        with self._releasing:
            for name in self._models.intersection(needs):
                self._uses[name] -= 1
                if not self._uses[name]:
                    self._results[name].release()
                    self._night.forget(name)


class Once:
    """Function that computes its value at the first call, from whichever thread."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._values: list[Any] = []

    def __call__(self) -> Any:  # noqa: ANN401  # value of any type
        """Return the value; concurrent callers wait for it, and a failure is tried again."""
        with self._lock:
            if not self._values:
                self._values.append(self._compute())
            return self._values[0]

    def release(self) -> None:
        """Release the value."""
        with self._lock:
            self._values.clear()


def run_side_by_side(
    jobs: Iterable[Callable[[], object]], reporter: Reporter, *, lanes: int
) -> None:
    """Run jobs in parallel, started in order; the first failure cancels all others."""
    pool = ThreadPoolExecutor(lanes)
    try:
        done, _ = wait([pool.submit(job) for job in jobs], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        reporter.cancel()  # or the other job would train to its end
        raise
    finally:
        pool.shutdown(cancel_futures=True)
