"""Reads what is live, in one namespace or in several: those of an experiment, or any."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from reco_cli.options import Where
from reco_store import DataLost, Status, StoreError, StoreUnreachable

if TYPE_CHECKING:  # help and completion need not load redis
    from reco_store import Experiment

_T = TypeVar("_T")


class Live(NamedTuple):
    """What one namespace has answered."""

    namespace: str
    status: Status | None  # None: the first of the errors says why
    experiment: "Experiment | None"  # that is recorded there
    errors: tuple[StoreError, ...]  # of what could not be read


class Found(NamedTuple):
    """What all of them have answered."""

    namespaces: tuple[Live, ...]  # in the order to be shown; one has a status, or more
    experiments: "tuple[Experiment, ...]"  # that they record, each once

    def experiment_of(self, live: Live) -> "Experiment | None":
        """Return what a namespace records, or the first experiment that it is an arm of."""
        others = (found for found in self.experiments if live.namespace in found.parts)
        return live.experiment or next(others, None)

    def share_of(self, live: Live) -> float | None:
        """Return the part of all users that this experiment gives the namespace, if any."""
        experiment = self.experiment_of(live)
        return None if experiment is None else experiment.parts.get(live.namespace)


def look(where: Where, names: Sequence[str], *, with_arms: bool) -> Found:
    """Look at namespaces; what one lacks does not keep the others from being shown.

    Args:
        where: the store.
        names: of the namespaces.
        with_arms: look at all arms of the experiments that are recorded in them, too.

    Raises:
        UsageError: the address, or a name, has an unknown form.
        StoreError: the store cannot be read, or none of the namespaces can.
    """
    found = {name: _look(replace(where, namespace=name)) for name in names}
    if with_arms:
        arms = dict.fromkeys([*found, *(arm for each in _recorded(found) for arm in each.parts)])
        found = {arm: found.get(arm) or _look(replace(where, namespace=arm)) for arm in arms}
    shown = tuple(found.values())
    if all(live.status is None for live in shown):
        raise shown[0].errors[0]
    return Found(shown, _recorded(found))


def _recorded(found: Mapping[str, Live]) -> "tuple[Experiment, ...]":
    """Return each experiment once."""
    recorded = (live.experiment for live in found.values() if live.experiment is not None)
    return tuple(dict.fromkeys(recorded))


def _look(where: Where) -> Live:
    errors: list[StoreError] = []
    with where.open() as reader:
        status = _answer(reader.status, errors)
        if status is not None and status.missing:
            lost = f"{status.missing} of {status.sampled} sampled keys"
            errors.append(DataLost(status.generation, lost))
        experiment = _answer(reader.experiment, errors)
    return Live(where.namespace, status, experiment, tuple(errors))


def _answer(question: Callable[[], _T], errors: list[StoreError]) -> _T | None:
    """Return an answer, or None with one error more; a server that is down answers nothing."""
    try:
        return question()
    except StoreUnreachable:
        raise
    except StoreError as error:
        errors.append(error)
        return None
