"""Functions of the commands that run, republish, tune and simulate: configuration and outcome."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from reco_batch.artifact.folder import report_or_folder
from reco_batch.commands import check_page
from reco_batch.commands.experiments import end_judged
from reco_batch.errors import DataRefused, GateRefused
from reco_batch.ingest.check.judge import Judged, Limits, judge
from reco_batch.ingest.forgotten import list_of, read_forgotten
from reco_batch.monitoring.run_outcome import Run, followed
from reco_batch.night.publish_stage import promote_generation, republish
from reco_batch.night.refresh import NothingPublished, run_refresh
from reco_batch.night.run import Night, last_times, read_and_split, run_night
from reco_batch.progress.choose import choose_reporter
from reco_batch.progress.json_log import open_log
from reco_batch.rules.compiled import compiled
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.hyperparameters import EngineName
from reco_batch.settings.input_keys import events_refusal
from reco_batch.settings.processors import processors, share_processors
from reco_batch.settings.run_config import RunConfig, RunKeys, TuneConfig, TuneKeys
from reco_batch.settings.target import Target
from reco_batch.simulate.files import SimulateConfig, write_simulation
from reco_batch.simulate.simulation import Simulation
from reco_batch.tuning.parameter_file import read_parameters
from reco_batch.tuning.suggest import require_optuna
from reco_store import Held, Keys, Published, RecoError, UsageError, store_errors
from reco_store.control.experiments import read_experiment
from reco_store.publishing.outcome import LIVE, REFUSED

if TYPE_CHECKING:
    from reco_batch.tuning.tune import Search


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of a run, or of an artifact that was published again."""

    generation: str
    """Generation that was staged."""
    seconds: float
    """Duration in seconds."""
    published: Published | None
    """Result of publishing; None if the generation went live, and was cut short after that."""
    night: Night | None = None
    """Result of the run; None for an artifact, and for a run without `published`."""
    refusal: BaseException | None = None
    """Error that ends the command after its summary; None if the generation is live."""
    unpublished: NothingPublished | None = None
    """Outcome of a refresh that published nothing."""

    @property
    def outcome(self) -> str:
        """Outcome of publishing: live, held or refused."""
        return LIVE if self.published is None else self.published.outcome


def run_command(
    settings: Settings, target: Target, *, force: str | None, stage_only: bool = False
) -> RunResult:
    """Execute a run with the given settings.

    Args:
        settings: merged from options, environment and file.
        target: store and folder to publish to.
        force: reason to overrule the gate; None to obey it.
        stage_only: leave the generation staged, for `promote_command`.

    Returns:
        The result; of a staged generation that is not live, with the error to raise.

    Raises:
        UsageError: an option has an invalid value.
        RecoError: see `run_night`.
    """

    def work(run: Run) -> Night:
        config = _config(settings, target, force)
        run.reporter.set_earlier_times(last_times(config.artifacts, config.namespace))
        # The embedded store is saved at the end.
        run.reporter.expect_stages(1 if target.redis_url is None else 0)
        return run_night(
            config, run.connected(target), reporter=run.reporter, switch=not stage_only
        )

    return _result_of("run", work, settings, target)


def refresh_command(
    settings: Settings, target: Target, *, force: str | None, stage_only: bool = False
) -> RunResult:
    """Refresh the live generation with the given settings.

    Args:
        settings: merged from options, environment and file.
        target: store to publish to, and the folder with the live generation's artifact.
        force: reason to overrule the gate; None to obey it.
        stage_only: leave the generation staged, for `promote_command`.

    Returns:
        The result, as that of `run_command`.

    Raises:
        UsageError: an option has an invalid value.
        RecoError: see `run_refresh`.
    """

    def work(run: Run) -> Night | NothingPublished:
        config = _config(settings, target, force)
        return run_refresh(
            config, run.connected(target), reporter=run.reporter, switch=not stage_only
        )

    return _result_of("refresh", work, settings, target)


def _result_of(
    command: str,
    work: Callable[[Run], Night | NothingPublished],
    settings: Settings,
    target: Target,
) -> RunResult:
    """Do the work of a command that publishes new lists, and keep the error of refused ones.

    Args:
        command: name of the command.
        work: returns what was published, or what stays live.
        settings: merged from options, environment and file.
        target: store and folder to publish to.

    Returns:
        The result, of a staged generation that is not live with the error to raise.
    """
    night: Night | None = None
    refusal: BaseException | None = None
    try:
        with followed(settings, command) as run:
            found = work(run)
            if isinstance(found, NothingPublished):
                run.update_served()
                return RunResult(found.live, run.seconds, None, unpublished=found)
            night = found
            run.record_published(night.published, night.artifact.manifest)
            _require_accepted(night.published, target)
    except (GateRefused, Held, SystemExit) as error:  # SystemExit: with a JSON log
        if night is None:
            raise
        refusal = error
    published = None if night is None else night.published
    return RunResult(str(run.generation), run.seconds, published, night, refusal)


def republish_command(
    settings: Settings, target: Target, generation: str, *, force: str | None
) -> RunResult:
    """Publish an artifact again.

    Args:
        settings: merged from options, environment and file.
        target: store and folder to publish to.
        generation: generation of the artifact, or `latest`.
        force: reason to overrule the gate and an earlier rollback; None to obey them.

    Returns:
        The result, whose generation is live.

    Raises:
        UsageError: an option has an invalid value.
        GateRefused, Held: the generation is staged, but not live.
        RecoError: see `republish`.
    """
    published: Published | None = None
    with followed(settings, "republish") as run:
        reason = _reason(force)
        published = republish(
            target.artifacts,
            generation,
            run.connected(target),
            keep=settings.keep,
            replicas=settings.replicas,
            bounds=settings.gate,
            force=reason,
            # Not those of [input] forget, who are left out of runs and erased nowhere.
            forgotten=read_forgotten(list_of(target.home, target.namespace)),
            reporter=run.reporter,
        )
        run.record_published(published)
        _require_accepted(published, target)
    return RunResult(str(run.generation), run.seconds, published)


def promote_command(settings: Settings, target: Target, generation: str) -> RunResult:
    """Serve a generation that waits in the store.

    Args:
        settings: merged from options, environment and file.
        target: store, and folder in which the outcome is recorded.
        generation: name of the generation.

    Returns:
        The result, whose generation is live.

    Raises:
        UsageError, StoreError: see `promote_generation`.
    """
    published: Published | None = None
    with followed(settings, "promote") as run:
        published = promote_generation(
            target.artifacts,
            generation,
            run.connected(target),
            keep=settings.keep,
            replicas=settings.replicas,
            reporter=run.reporter,
        )
        run.record_published(published)
    return RunResult(str(run.generation), run.seconds, published)


def promote_arm_command(
    settings: Settings, target: Target, arm: str
) -> tuple[Published | None, bool]:
    """Serve an arm's live generation to all users of a namespace, and end its experiment.

    The gate is overruled: the arm's own gate passed the generation, people have used it, and lists
    of another recommender differ from the live ones by more than churn may.

    Args:
        settings: merged from options, environment and file.
        target: store of the namespace that records the experiment, and folder of the artifacts.
        arm: namespace of the arm.

    Returns:
        The result, whose generation is live; None if the arm is the namespace itself, or if the
        command was cut short after the switch. And whether the experiment is over, which it is not
        if the store failed after the switch, or if another one was begun meanwhile.

    Raises:
        UsageError: there is no such arm, or nothing is live in it.
        NightFailed: the artifact of its generation is not on this machine.
        Held: a hold keeps the generation from going live; the experiment goes on.
        RecoError: see `republish`.
    """
    published: Published | None = None
    is_over = False
    with followed(settings, "promote") as run:
        lock = run.connected(target)
        client = lock.client
        experiment = read_experiment(client, target.keys)
        if experiment is None or arm not in experiment.parts:
            arms = "no experiment" if experiment is None else ", ".join(experiment.parts)
            raise UsageError(
                f"--promote {arm}: {target.namespace} has {arms}; expected an arm of its "
                "experiment. `batch experiment` shows it."
            )
        if arm != target.namespace:
            with store_errors(client):
                live = client.get(Keys(arm).current)
            if not isinstance(live, bytes):
                raise UsageError(
                    f"--promote {arm}: nothing is live there; expected a live generation. Run "
                    f"`batch run --namespace {arm}` first."
                )
            published = republish(
                target.artifacts,
                live.decode(),
                lock,
                keep=settings.keep,
                replicas=settings.replicas,
                bounds=settings.gate,
                force=f"promoted from {arm} after the experiment {experiment.name}",
                forgotten=read_forgotten(list_of(target.home, target.namespace)),
                made_for=arm,
                reporter=run.reporter,
            )
            run.record_published(published)
            _require_accepted(published, target)
        try:
            is_over = end_judged(client, target.keys, experiment)
            target.make_durable(client)
        except RecoError as error:
            if published is None:
                raise
            run.reporter.warn(f"ending the experiment failed: {error}")
    return published, is_over


def tune_command(settings: Settings, target: Target) -> "list[Search]":
    """Search for hyper-parameters, and write them to a file.

    Args:
        settings: merged from options, environment and file.
        target: target with the folder that keeps the trials.

    Returns:
        The searches, one a model.

    Raises:
        UsageError: an option has an invalid value.
        RecoError: see `tune.tune`.
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
        share_processors(1)  # trials run one after another
        from reco_batch.tuning.tune import tune, without_test, write  # noqa: PLC0415  # takes seconds

    searches = tune(config, without_test(dataset, split), reporter)
    write(config, searches)
    return searches


def check_command(settings: Settings, target: Target) -> tuple[str, int]:
    """Check the input without a run.

    Args:
        settings: merged from options, environment and file.
        target: target with the folder of downloads.

    Returns:
        The page to print, and the number of problems.

    Raises:
        UsageError: no data is named, or [input] contradicts itself.
    """
    _require_data(settings)
    limits = Limits(
        settings.encoding,
        settings.max_bad_rows,
        settings.rating_scale,
        settings.max_unknown_ratings,
    )
    judged = judge(
        settings.data,
        settings.input,
        limits,
        cache=target.home / "downloads",
        now=datetime.now(UTC),
    )
    judged = _with_rules(judged, settings)
    return check_page.page(judged, settings.input), len(judged.problems)


def _with_rules(judged: Judged, settings: Settings) -> Judged:
    """Add the notes and the faults of the rules, if a run can use the input."""
    if judged.dataset is None:
        return judged
    try:
        _require_weighed_kinds(settings)
        return judged._replace(rule_notes=compiled(settings.rules, judged.dataset).notes)
    except (UsageError, DataRefused) as error:
        return judged._replace(problems=(*judged.problems, str(error)))


def simulate_command(options: Mapping[str, Any], *, quiet: bool) -> SimulateConfig:
    """Write a simulated data set.

    Args:
        options: options of `batch simulate`, by field of `SimulateConfig`.
        quiet: show no progress.

    Returns:
        The configuration of the written data set.

    Raises:
        UsageError: an option has an invalid value.
        RecoError: see `write_simulation`.
    """
    try:
        config = SimulateConfig(**options)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        option = "--format" if name == "form" else f"--{name}"
        expected = SimulateConfig.model_fields[name].description
        raise UsageError(f"{option} {options[name]!r}: expected {expected}") from error
    simulation = Simulation(config.shape, seed=config.seed)
    with choose_reporter(quiet=quiet).stage("simulate ratings", total=config.shape.users) as stage:
        write_simulation(simulation, config.out, form=config.form, stage=stage)
    return config


def _config(settings: Settings, target: Target, force: str | None) -> RunConfig:
    if settings.ray_address is not None and settings.engine is not EngineName.RAY:
        raise UsageError(
            f"--ray-address {settings.ray_address!r} needs --engine ray; the engine is "
            f"{settings.engine}"
        )
    _require_weighed_kinds(settings)
    return RunConfig(
        **_learning(settings, target),
        rules=settings.rules,
        bounds=settings.gate,
        force=_reason(force),
    )


def _require_weighed_kinds(settings: Settings) -> None:
    """Raise UsageError if `[rules.seen]` has a kind of event without a weight."""
    if not isinstance(settings.rules.seen, str):
        for kind in set(settings.rules.seen).difference(settings.input.events):
            raise UsageError(
                f"rules.seen has {kind!r}; expected kinds of [input.events], which has "
                f"{', '.join(map(repr, settings.input.events)) or 'none'}"
            )


def _learning(settings: Settings, target: Target) -> dict[str, Any]:
    """Return the part of the configuration that every command with training needs.

    Raises:
        UsageError: no data is named, or the file of parameters cannot be used.
    """
    _require_data(settings)
    if refused := events_refusal(settings.input):
        raise refused
    preset, file = settings.preset, settings.parameters
    return {
        **_fields(RunKeys, settings),
        "data": settings.data,
        "input": settings.input,
        "threads": settings.threads or processors(),
        "home": target.home,
        "namespace": target.keys.namespace,
        "forget": _ids(settings.input.forget),
        "tuned": read_parameters(file, preset=preset) if file else None,
    }


def _ids(forget: Path | tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of `[input] forget`; those of a file are its lines that are not blank.

    Raises:
        UsageError: the file cannot be read.
    """
    if isinstance(forget, tuple):
        return tuple(user.strip() for user in forget)
    try:
        return tuple(filter(None, map(str.strip, forget.read_text("utf-8").splitlines())))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--forget {str(forget)!r}: could not be read ({reason}); expected a file with one "
            "id a line, in UTF-8"
        ) from error


def _require_data(settings: Settings) -> None:
    if settings.data is None and None in (settings.input.ratings, settings.input.items):
        raise UsageError(
            "--data is missing; expected a folder, or the name of a data set: as an option, in "
            "RECO_DATA, or as data in reco.toml; or ratings and items in [input]"
        )


def _fields(keys: type[BaseModel], settings: BaseModel) -> dict[str, Any]:
    """Return the settings that a model has as fields."""
    return {name: getattr(settings, name) for name in keys.model_fields}


def _reason(force: str | None) -> str | None:
    """Return the reason to overrule the gate; reject an empty one."""
    if force is not None and not force.strip():
        raise UsageError("--force: expected a reason in words; it stays on record")
    return force


def _require_accepted(published: Published, target: Target) -> None:
    """Raise the error for a generation that is held or refused."""
    if published.held is not None:
        raise published.held
    if published.outcome == REFUSED:
        reason = published.verdict.reason if published.verdict else published.outcome
        account = report_or_folder(target.artifacts / published.generation)
        raise GateRefused(published.generation, reason, str(account))
