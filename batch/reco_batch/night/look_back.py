"""Look back of a run: the interactions since, in the lists that were served and in an experiment.

After refreshes the lists are those of the run that trained: each refresh replaces those of few
users and may be an hour old, so its own would be measured on few interactions.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from redis.exceptions import NoPermissionError

from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.manifests import (
    NOT_MEASURED,
    number,
    read_manifest,
    section,
    trained_by,
)
from reco_batch.data.dataset import Dataset
from reco_batch.errors import NightFailed
from reco_batch.evaluation.experiment_verdict import arms_of, experiment_section
from reco_batch.evaluation.hindsight import hindsight
from reco_batch.progress.reporter import Reporter, errors_as_warnings
from reco_store import Keys, store_errors
from reco_store.connection.client import Client
from reco_store.contract.experiment import Experiment
from reco_store.control.experiments import read_experiment
from reco_terminal.wording import hindsight_words, verdict_words

#: Sections of the manifest.
HINDSIGHT: Final = "hindsight"
EXPERIMENT: Final = "experiment"
_OF_ARMS: Final = (
    *("generation", "since", "users", "interactions", "served", "popular", NOT_MEASURED),
)


def look_back(
    live: Mapping[str, Any],
    dataset: Dataset,
    *,
    client: Client,
    keys: Keys,
    artifacts: Path,
    reporter: Reporter,
) -> dict[str, Any]:
    """Measure the lists that were served by the interactions since; no failure ends the run.

    In an experiment each arm's lists are those of its own users. Hindsight, the verdict and the
    arms' hindsight fail each on its own.

    Args:
        live: manifest of the live generation; empty without one.
        dataset: input of this run.
        client: connection to the store.
        keys: keys of the namespace, which may record an experiment.
        artifacts: folder of all artifacts, which has the lists if they were made on this machine.
        reporter: shows the stage.

    Returns:
        Sections of the manifest: `hindsight`, see `evaluation.hindsight`, and during an experiment
        `experiment`, see `evaluation.experiment_verdict`, whose arms have their own hindsight.
        Empty without a live generation.
    """
    found: dict[str, Any] = {}
    if not live:
        return found
    reporter.expect_stages(1)
    with reporter.stage("hindsight") as stage, errors_as_warnings(reporter, "no hindsight"):
        split = _Split.of(read_experiment(client, keys), dataset)
        with errors_as_warnings(reporter, "no hindsight"):
            folder = artifacts / trained_by(live)
            found[HINDSIGHT] = _own(folder, dataset, split, keys.namespace)
            stage.note(hindsight_words(found[HINDSIGHT], dataset.words))
        if split is None:
            return found
        with errors_as_warnings(reporter, "no verdict of the experiment"):
            last = section(live, EXPERIMENT)
            compared = experiment_section(dataset, split.experiment, split.arm, last=last)
            found[EXPERIMENT] = compared
            words = verdict_words(compared, dataset.words)
            reporter.report_finding(f"experiment {split.experiment.name}: {words}")
        if arms := found.get(EXPERIMENT, {}).get("arms"):
            with errors_as_warnings(reporter, "no hindsight of the arms"):
                pasts = _of_arms(client, split, dataset, artifacts, own=found.get(HINDSIGHT, {}))
                arms = [{**one, HINDSIGHT: pasts[one["namespace"]]} for one in arms]
                found[EXPERIMENT] = {**found[EXPERIMENT], "arms": arms}
    return found


def live_of(client: Client, namespace: str) -> str | None:
    """Return the live generation of a namespace; None if it cannot be known."""
    with store_errors(client), suppress(NoPermissionError):  # another account publishes it
        name = client.get(Keys(namespace).current)
        return name.decode() if isinstance(name, bytes) else None
    return None


class _Split(NamedTuple):
    """Users of the arms of an experiment."""

    experiment: Experiment
    arm: NDArray[np.int64]
    """[U] place of each user's arm."""

    @classmethod
    def of(cls, experiment: Experiment | None, dataset: Dataset) -> "_Split | None":
        """Split the users of a data set; None without an experiment."""
        return (
            None if experiment is None else cls(experiment, arms_of(dataset.user_ids, experiment))
        )

    def users_of(self, namespace: str) -> NDArray[np.bool_]:
        """Return the users whom an arm serves, [U]."""
        own: NDArray[np.bool_] = self.arm == list(self.experiment.parts).index(namespace)
        return own


def _own(folder: Path, dataset: Dataset, split: _Split | None, namespace: str) -> dict[str, Any]:
    """Return the hindsight of a namespace's live generation on the users whom it serves."""
    if split is None:
        return _measured(folder, dataset)
    if namespace not in split.experiment.parts:
        return {"generation": folder.name, NOT_MEASURED: "its users are served by the arms"}
    return _measured(folder, dataset, among=split.users_of(namespace))


def _of_arms(
    client: Client, split: _Split, dataset: Dataset, artifacts: Path, *, own: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the hindsight of each arm's live lists on its own users, by namespace.

    All are over the same time: since the start, and since the newest data of any arm.

    Args:
        client: connection to the store.
        split: users of the arms.
        dataset: input of this run.
        artifacts: folder of all artifacts.
        own: hindsight of the namespace of this run, which is not measured again.
    """
    live = {namespace: live_of(client, namespace) for namespace in split.experiment.parts}
    folders = {namespace: _trained(artifacts, name) for namespace, name in live.items() if name}
    ends = [number(read_manifest(one), "data", "newest_rating") for one in folders.values()]
    since = max([split.experiment.began or 0, *(end for end in ends if end is not None)])
    pasts: dict[str, dict[str, Any]] = {}
    for namespace in live:
        if namespace not in folders:
            pasts[namespace] = {NOT_MEASURED: "its live generation is not known"}
            continue
        folder, among = folders[namespace], split.users_of(namespace)
        is_own = (own.get("generation"), own.get("since")) == (folder.name, int(since))
        past = own if is_own else _measured(folder, dataset, among=among, since=since)
        pasts[namespace] = {name: past[name] for name in _OF_ARMS if name in past}
    return pasts


def _trained(artifacts: Path, generation: str) -> Path:
    """Return the artifact of the run that trained the models of a generation."""
    manifest = read_manifest(artifacts / generation) or {"generation": generation}
    return artifacts / trained_by(manifest)


def _measured(
    folder: Path,
    dataset: Dataset,
    *,
    among: NDArray[np.bool_] | None = None,
    since: float | None = None,
) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest is None:
        why = "its artifact is not on this machine"
        return {"generation": folder.name, NOT_MEASURED: why}
    try:
        return hindsight(Artifact(folder, manifest), dataset, among=among, since=since)
    except (NightFailed, OSError, pa.ArrowException):
        why = "its artifact is damaged or cannot be read"
        return {"generation": folder.name, NOT_MEASURED: why}
