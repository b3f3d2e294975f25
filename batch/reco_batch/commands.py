"""What stands between the options of `batch` and the night: types, defaults, outcomes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import ValidationError

from reco_batch.bounds import parse_bounds
from reco_batch.config import RunConfig
from reco_batch.errors import GateRefused
from reco_batch.night import Night, run_night
from reco_batch.options import Target
from reco_batch.progress import choose_reporter
from reco_batch.publishing import republish
from reco_store import Keys, Published, RecoError, StoreUnreachable, UsageError, store_errors
from reco_store.client import Client


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


def _config(options: Mapping[str, Any], target: Target) -> RunConfig:
    threads = options["threads"]
    plain = {name: options[name] for name in options if name in RunConfig.model_fields}
    try:
        return RunConfig(
            **plain
            | {
                "ranked_k": None if options["ranked_k"] == "all" else options["ranked_k"],
                "rating_scale": tuple(options["rating_scale"].split(":")),
                "threads": len(os.sched_getaffinity(0)) if threads is None else threads,
                "namespace": target.keys.namespace,
                "home": target.home,
                "bounds": parse_bounds(options["gate_bound"] or ()),
                "force": _reason(options["force"]),
            }
        )
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        expected = RunConfig.model_fields[name].description
        option = "--" + name.replace("_", "-")
        raise UsageError(f"{option} {options[name]!r}: expected {expected}") from error


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
