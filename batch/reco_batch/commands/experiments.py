"""Experiments of `batch experiment`: A/B splits of a namespace's users, and their verdict."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import NoPermissionError

from reco_batch.artifact.manifests import NOT_MEASURED
from reco_store import Keys, Reader, UsageError, store_errors
from reco_store.connection.client import Client
from reco_store.contract.experiment import Experiment, checked_experiment
from reco_store.contract.words import Words, counted, words_of
from reco_store.control.experiments import begin_experiment, end_experiment, read_experiment
from reco_terminal.wording import verdict_lines


def change_experiment(
    client: Client,
    keys: Keys,
    name: str | None,
    arms: Sequence[str],
    *,
    end: bool,
    now: datetime,
) -> str:
    """Start, show or end an experiment, and return the text to print.

    Args:
        client: connection to the store.
        keys: keys of the namespace whose readers assign users.
        name: name of a new experiment; None shows or ends the current one.
        arms: arms of the new one, each `NAMESPACE=SHARE`.
        end: end the current experiment.
        now: start of a new experiment.

    Raises:
        UsageError: the options exclude each other or define no experiment, or a namespace has
            nothing published.
        StoreError: the store does not answer or refuses.
    """
    if end and name is not None:
        raise UsageError("--end: expected no name; a namespace has one experiment")
    if end:
        return "the experiment is over" if end_experiment(client, keys) else "there was none"
    if name is None:
        under_way = read_experiment(client, keys)
        return "no experiment" if under_way is None else _shown(under_way)
    experiment = checked_experiment(name, [_arm(word) for word in arms])
    experiment = experiment._replace(began=int(now.timestamp()))
    _require_published(client, experiment)
    begin_experiment(client, keys, experiment)
    return _shown(experiment)


def end_judged(client: Client, keys: Keys, experiment: Experiment) -> bool:
    """End the experiment that was judged.

    Args:
        client: connection to the store.
        keys: keys of the namespace that records the experiment.
        experiment: as it was read before its winner was published, which takes minutes.

    Returns:
        False if another one is under way, which goes on.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    if read_experiment(client, keys) not in {experiment, None}:
        return False
    end_experiment(client, keys)
    return True


def verdict_page(client: Client, keys: Keys, *, effect: float) -> str:
    """Return the verdict that the newest live run computed, as text to print.

    Args:
        client: connection to the store.
        keys: keys of the namespace that records the experiment.
        effect: relative difference for which the needed number of users is shown, above 0.

    Raises:
        UsageError: the effect is not above 0.
        StoreError: the store does not answer, or nothing is live.
    """
    if not effect > 0:
        raise UsageError(f"--effect {effect:g}: expected a share above 0, such as 0.05")
    experiment = read_experiment(client, keys)
    if experiment is None:
        return "no experiment"
    manifest = Reader(client=client, namespace=keys.namespace).status().manifest
    found = manifest.get("experiment")
    if not isinstance(found, Mapping) or (
        (found.get("name"), found.get("began")) != (experiment.name, experiment.began)
    ):
        run = f"batch run --namespace {keys.namespace}"
        return f"{_shown(experiment)}\nno verdict yet: the next live `{run}` computes it"
    return "\n".join(_verdict_lines(found, words_of(manifest), effect))


def _verdict_lines(found: Mapping[str, Any], words: Words, effect: float) -> Iterator[str]:
    """Yield a line for each arm, the verdict, and the needed number of users."""
    if NOT_MEASURED in found:
        yield f"experiment {found['name']}"
    else:
        until = f"{datetime.fromtimestamp(found['until'], UTC):%Y-%m-%d}"
        yield f"experiment {found['name']}, {found['days']:.1f} days to {until}"
    for arm in found.get("arms", ()):
        served = arm.get("hindsight", {}).get("served")
        figures = (
            arm["namespace"],
            counted(arm["users"], "user"),
            words.count_interactions(arm["interactions"]),
            f"{arm['rate']:.4f} a user and day",
            *([f"NDCG@10 in hindsight {served['ndcg@10']:.3f}"] if served else []),
        )
        yield "\t".join(figures)
    yield from verdict_lines(found, words)
    for one in found.get("comparisons", ()):
        if needed := one.get("needed"):
            times = (needed["lift"] / effect) ** 2
            yield (
                f"{one['namespace']}\tneeded to detect {effect:.1%} with 80% power: "
                f"{needed['users'] * times:,.0f} users, "
                f"{needed['interactions_a_day'] * times:,.0f} {words.interactions} a day"
            )


def _require_published(client: Client, experiment: Experiment) -> None:
    """Refuse an arm whose users would get no answer."""
    for namespace in experiment.parts:
        with store_errors(client), suppress(NoPermissionError):  # another account publishes it
            if client.get(Keys(namespace).current) is None:
                raise UsageError(
                    f"experiment {experiment.name!r}: nothing is published under {namespace!r}, so "
                    "its users would get no answer; expected a live generation in each namespace. "
                    f"Run `batch run --namespace {namespace}` first."
                )


def _arm(word: str) -> tuple[str, float]:
    namespace, _, text = word.rpartition("=")
    try:
        return namespace, float(text)
    except ValueError as error:
        raise UsageError(f"{word!r}: expected NAMESPACE=SHARE, such as reco=90") from error


def _shown(experiment: Experiment) -> str:
    arms = (f"{namespace}\t{part:.1%}" for namespace, part in experiment.parts.items())
    return "\n".join((f"experiment {experiment.name}", *arms))
