"""Experiments of `batch experiment`: A/B splits of a namespace's users."""

from collections.abc import Sequence
from contextlib import suppress

from redis.exceptions import NoPermissionError

from reco_store import Keys, UsageError, store_errors
from reco_store.connection.client import Client
from reco_store.contract.experiment import Experiment, checked_experiment
from reco_store.control.experiments import begin_experiment, end_experiment


def change_experiment(
    client: Client, keys: Keys, name: str | None, arms: Sequence[str], *, end: bool
) -> str:
    """Start, show or end an experiment, and return the text to print.

    Args:
        client: connection to the store.
        keys: keys of the namespace whose readers assign users.
        name: name of a new experiment; None shows or ends the current one.
        arms: arms of the new one, each `NAMESPACE=SHARE`.
        end: end the current experiment.

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
        with store_errors(client):
            value = client.get(keys.experiment)
        return _shown(Experiment.load(value)) if isinstance(value, bytes) else "no experiment"
    experiment = checked_experiment(name, [_arm(word) for word in arms])
    _require_published(client, experiment)
    begin_experiment(client, keys, experiment)
    return _shown(experiment)


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
