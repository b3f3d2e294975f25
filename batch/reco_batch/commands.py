"""What stands between the options of `batch` and the night: types, defaults, outcomes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from reco_batch.bounds import parse_bounds
from reco_batch.config import LearningConfig, RunConfig, TuneConfig
from reco_batch.errors import GateRefused
from reco_batch.night import Night, read_and_split, run_night
from reco_batch.options import Target
from reco_batch.parameter_file import read_parameters
from reco_batch.presets import PRESETS
from reco_batch.progress import choose_reporter
from reco_batch.publishing import republish
from reco_batch.suggest import require_optuna
from reco_store import Keys, Published, RecoError, StoreUnreachable, UsageError, store_errors
from reco_store.client import Client

if TYPE_CHECKING:
    from reco_batch.tune import Search

_Config = TypeVar("_Config", bound=LearningConfig)


def run_command(options: Mapping[str, Any], target: Target) -> Night:
    """Run a night as the options of `batch run` say.

    Args:
        options: the parameters of the command by name.
        target: where to publish.

    Returns:
        A night whose generation is live.

    Raises:
        UsageError: an option's value cannot be.
        GateRefused, Held: the generation is staged, but not served.
        RecoError: as `run_night`.
    """
    config = _config(options, target)
    reporter = choose_reporter(quiet=options["quiet"])
    with _connected(target) as client:
        night = run_night(config, client, reporter=reporter)
        target.make_durable(client)
        _insist_live(night.published, target)
    return night


def republish_command(
    generation: str,
    target: Target,
    *,
    keep: int,
    gate_bound: Sequence[str],
    force: str | None,
    quiet: bool,
) -> Published:
    """Publish an artifact again.

    Raises:
        UsageError: an option's value cannot be.
        GateRefused, Held: the generation is staged, but not served.
        RecoError: as `republish`.
    """
    bounds, reason = parse_bounds(gate_bound), _reason(force)
    with _connected(target) as client:
        published = republish(
            target.artifacts,
            generation,
            client,
            namespace=target.namespace,
            keep=keep,
            bounds=bounds,
            force=reason,
            reporter=choose_reporter(quiet=quiet),
        )
        target.make_durable(client)
        _insist_live(published, target)
    return published


def tune_command(options: Mapping[str, Any], target: Target) -> "list[Search]":
    """Tune as the options of `batch tune` say, and write the file of parameters.

    Args:
        options: the parameters of the command by name.
        target: with the folder that keeps the trials.

    Returns:
        The searches.

    Raises:
        UsageError: an option's value cannot be.
        RecoError: as `tune.tune`.
    """
    models = options["model"]
    config = _checked(
        TuneConfig,
        options,
        {
            **_of_learning(options, target),
            "models": ("rating", "retrieval") if models == "both" else (models,),
        },
    )
    if not config.out.parent.is_dir():
        raise UsageError(f"--out {str(config.out)!r}: expected a file in a folder that exists")
    require_optuna()  # now, rather than after minutes of training
    reporter = choose_reporter(quiet=options["quiet"])
    dataset, split = read_and_split(config, reporter)
    with reporter.stage("load TensorFlow"):
        from reco_batch.tune import tune, without_test, write  # noqa: PLC0415  # takes seconds

    searches = tune(config, without_test(dataset, split), reporter)
    write(config, searches)
    return searches


def _config(options: Mapping[str, Any], target: Target) -> RunConfig:
    return _checked(
        RunConfig,
        options,
        {
            **_of_learning(options, target),
            **{
                name: None if options[name] == "all" else options[name]
                for name in ("ranked_k", "ranked_candidates")
            },
            "namespace": target.keys.namespace,
            "bounds": parse_bounds(options["gate_bound"] or ()),
            "force": _reason(options["force"]),
        },
    )


def _of_learning(options: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return what every command that trains makes of its options."""
    threads, preset, path = options["threads"], options["preset"], options["parameters"]
    return {
        "rating_scale": tuple(options["rating_scale"].split(":")),
        "threads": len(os.sched_getaffinity(0)) if threads is None else threads,
        "home": target.home,
        "tuned": read_parameters(path, preset=preset) if path and preset in PRESETS else None,
    }


def _checked(kind: type[_Config], options: Mapping[str, Any], made: Mapping[str, Any]) -> _Config:
    """Return a configuration of the options, some of which were made something of."""
    plain = {name: options[name] for name in options if name in kind.model_fields}
    try:
        return kind(**{**plain, **made})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        expected = kind.model_fields[name].description
        said = "model" if name == "models" else name
        option = "--" + said.replace("_", "-")
        raise UsageError(f"{option} {options[said]!r}: expected {expected}") from error


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
        folder = str(target.artifacts / published.generation)
        raise GateRefused(published.generation, reason, folder)


@contextmanager
def _connected(target: Target) -> Iterator[Client]:
    """Connect; whatever ends the block says what readers see now, or saw when it began.

    That goes for bugs and interrupts too: a note is printed below a traceback.
    """
    client: Client | None = None
    before: str | None = None
    try:
        client = target.connect()
        before = _served(client, target.keys)
        yield client
    except BaseException as error:
        if client is not None or isinstance(error, StoreUnreachable):
            now = None if client is None else _served(client, target.keys)
            error.add_note(_still_served(before, now))
        raise


def _served(client: Client, keys: Keys) -> str | None:
    """Return the live generation, or "nothing"; None where the store does not tell."""
    with suppress(RecoError), store_errors(client):
        live = client.get(keys.current)
        return live.decode() if isinstance(live, bytes) else "nothing"
    return None


def _still_served(before: str | None, now: str | None) -> str:
    if now is not None:
        return f"Still served: {now}."
    if before is not None:
        return f"Still served, as far as can be told without the store: {before}."
    return "What is served is not known: the store did not answer."
