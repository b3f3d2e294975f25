"""What stands between the settings and the night: what follows from them, and outcomes."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from reco_batch.artifact.folder import account_of
from reco_batch.errors import DataRefused, GateRefused
from reco_batch.monitoring.run_outcome import followed
from reco_batch.night.publishing import republish
from reco_batch.night.run import Night, last_times, read_and_split, run_night
from reco_batch.progress.choose import choose_reporter
from reco_batch.progress.json_log import open_log
from reco_batch.settings.fields import Settings
from reco_batch.settings.hyperparameters import EngineName
from reco_batch.settings.processors import share_processors
from reco_batch.settings.run_config import (
    LearningKeys,
    RunConfig,
    RunKeys,
    TuneConfig,
    TuneKeys,
)
from reco_batch.settings.target import Target
from reco_batch.simulate.config import SimulateConfig
from reco_batch.simulate.files import write_simulation
from reco_batch.simulate.simulation import Simulation
from reco_batch.tuning.parameter_file import read_parameters
from reco_batch.tuning.suggest import require_optuna
from reco_store import Published, UsageError

if TYPE_CHECKING:
    from reco_batch.tuning.tune import Search


def run_command(
    settings: Settings,
    target: Target,
    *,
    force: str | None,
    ended: list[tuple[Night, float]] | None = None,
) -> Night | str:
    """Run a night as the settings say.

    Args:
        settings: as flags, environment and file have them.
        target: where to publish.
        force: why the generation shall be served whatever the gate finds; None: it shall not.
        ended: list to which the night, live or not, and its seconds are appended; the errors that
            are raised contain neither.

    Returns:
        A night whose generation is live; the generation alone if the night was cut short after
        readers were switched to it.

    Raises:
        UsageError: an option's value cannot be.
        GateRefused, Held: the generation is staged, but not served.
        RecoError: as `run_night`.
    """
    night: Night | None = None
    with followed(settings, "run") as run:
        config = _config(settings, target, force)
        run.reporter.set_earlier_times(last_times(config.artifacts, config.namespace))
        run.reporter.expect_stages(
            1 if target.redis_url is None else 0
        )  # the embedded store is saved
        lock = run.connected(target)
        night = run_night(config, lock, reporter=run.reporter)
        run.made(night.published, night.artifact.manifest)
        if ended is not None:
            ended.append((night, run.seconds))
        _insist_live(night.published, target)
    return str(run.generation) if night is None else night


def republish_command(
    settings: Settings, target: Target, generation: str, *, force: str | None
) -> Published | str:
    """Publish an artifact again.

    Args:
        settings: as flags, environment and file have them.
        target: where to publish.
        generation: of the artifact, or `latest`.
        force: why it shall be served whatever the gate finds, and although it was rolled back
            from; None: it shall not.

    Returns:
        How it was published; the generation alone if that was cut short after readers were switched
        to it.

    Raises:
        UsageError: an option's value cannot be.
        GateRefused, Held: the generation is staged, but not served.
        RecoError: as `republish`.
    """
    published: Published | None = None
    with followed(settings, "republish") as run:
        reason = _reason(force)
        published = republish(
            target.artifacts,
            generation,
            run.connected(target),
            keep=settings.keep,
            bounds=settings.gate,
            force=reason,
            reporter=run.reporter,
        )
        run.made(published)
        _insist_live(published, target)
    return str(run.generation) if published is None else published


def tune_command(settings: Settings, target: Target) -> "list[Search]":
    """Tune as the settings say, and write the file of parameters.

    Args:
        settings: as flags, environment and file have them.
        target: with the folder that keeps the trials.

    Returns:
        The searches.

    Raises:
        UsageError: an option's value cannot be.
        RecoError: as `tune.tune`.
    """
    config = TuneConfig(**_learning(settings, target), **_fields(TuneKeys, settings.tune))
    if not config.out.parent.is_dir():
        raise UsageError(f"--out {str(config.out)!r}: expected a file in a folder that exists")
    require_optuna()  # now, rather than after minutes of training
    log = open_log(settings) if settings.log_format == "json" else None
    reporter = choose_reporter(quiet=settings.quiet, log=log)
    dataset, split = read_and_split(config, reporter)
    if not dataset.has_stars and "rating" in config.models:
        raise DataRefused(
            "the ratings have no rating column",
            "one, to tune the rating model",
            "Give --model retrieval.",
        )
    with reporter.stage("load TensorFlow"):
        share_processors(1)  # one trial after the other
        from reco_batch.tuning.tune import tune, without_test, write  # noqa: PLC0415  # takes seconds

    searches = tune(config, without_test(dataset, split), reporter)
    write(config, searches)
    return searches


def simulate_command(said: Mapping[str, Any], *, quiet: bool) -> SimulateConfig:
    """Write a simulated data set.

    Args:
        said: the options of `batch simulate` by the names of `SimulateConfig`.
        quiet: show no progress.

    Returns:
        What was written, and where.

    Raises:
        UsageError: an option's value cannot be.
        RecoError: as `write_simulation`.
    """
    try:
        config = SimulateConfig(**said)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        option = "--format" if name == "form" else f"--{name}"
        expected = SimulateConfig.model_fields[name].description
        raise UsageError(f"{option} {said[name]!r}: expected {expected}") from error
    simulation = Simulation(config.shape, seed=config.seed)
    with choose_reporter(quiet=quiet).stage("simulate ratings", total=config.shape.users) as stage:
        write_simulation(simulation, config.out, form=config.form, stage=stage)
    return config


def _config(settings: Settings, target: Target, force: str | None) -> RunConfig:
    if settings.ray_address is not None and settings.engine is not EngineName.RAY:
        raise UsageError(
            f"--ray-address {settings.ray_address!r} is of no use to the engine "
            f"{settings.engine}; expected --engine ray beside it"
        )
    return RunConfig(
        **{**_fields(RunKeys, settings), **_learning(settings, target)},
        namespace=target.keys.namespace,
        bounds=settings.gate,
        force=_reason(force),
    )


def _learning(settings: Settings, target: Target) -> dict[str, Any]:
    """Return what every command that trains makes of the settings.

    Raises:
        UsageError: there is no data, or the file of parameters cannot be used.
    """
    if settings.data is None:
        raise UsageError(
            "--data is missing; expected a folder, or the name of a data set: as an option, in "
            "RECO_DATA, or as data in reco.toml"
        )
    preset, file = settings.preset, settings.parameters
    return {
        **_fields(LearningKeys, settings),
        "data": settings.data,
        "threads": settings.threads or len(os.sched_getaffinity(0)),
        "home": target.home,
        "tuned": read_parameters(file, preset=preset) if file else None,
    }


def _fields(keys: type[BaseModel], said: BaseModel) -> dict[str, Any]:
    """Return the values of some keys."""
    return {name: getattr(said, name) for name in keys.model_fields}


def _reason(force: str | None) -> str | None:
    """Return why the gate shall be overruled, which must be said in words."""
    if force is not None and not force.strip():
        raise UsageError("--force: expected a reason in words; it stays on record")
    return force


def _insist_live(published: Published, target: Target) -> None:
    """Raise what says why a staged generation is not served."""
    if published.held is not None:
        raise published.held
    if published.outcome != "live":
        reason = published.verdict.reason if published.verdict else published.outcome
        account = account_of(target.artifacts / published.generation)
        raise GateRefused(published.generation, reason, str(account))
