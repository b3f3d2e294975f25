"""Start, record and end of a namespace's experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reco_store.connection.client import Client, store_errors
from reco_store.contract.experiment import Experiment

if TYPE_CHECKING:
    from reco_store.contract.keys import Keys

__all__ = ["begin_experiment", "end_experiment", "read_experiment"]


def read_experiment(client: Client, keys: Keys) -> Experiment | None:
    """Return the experiment that a namespace records; None without one.

    Raises:
        StoreError: the store does not answer, or its record is damaged.
    """
    with store_errors(client):
        value = client.get(keys.experiment)
    return Experiment.load(value) if isinstance(value, bytes) else None


def begin_experiment(client: Client, keys: Keys, experiment: Experiment) -> None:
    """Start an experiment, replacing one that is under way.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    with store_errors(client):
        client.set(keys.experiment, experiment.dump())


def end_experiment(client: Client, keys: Keys) -> bool:
    """End the experiment, so the namespace serves all its users again.

    Returns:
        True if there was an experiment.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    with store_errors(client):
        return bool(client.delete(keys.experiment))
