"""Starting and ending an experiment of a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reco_store.connection.client import Client, store_errors

if TYPE_CHECKING:
    from reco_store.contract.experiment import Experiment
    from reco_store.contract.keys import Keys

__all__ = ["begin_experiment", "end_experiment"]


def begin_experiment(client: Client, keys: Keys, experiment: Experiment) -> None:
    """Split the users of a namespace from now on; it takes the place of another experiment.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    with store_errors(client):
        client.set(keys.experiment, experiment.dump())


def end_experiment(client: Client, keys: Keys) -> bool:
    """Give all users the namespace's own answers again; tell whether there was an experiment.

    Raises:
        StoreError: the store does not answer or refuses.
    """
    with store_errors(client):
        return bool(client.delete(keys.experiment))
