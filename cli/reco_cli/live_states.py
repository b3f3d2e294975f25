"""Live state of one namespace or of several: those of an experiment, or any."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from reco_cli.options import Where
from reco_store import DataLost, Status, StoreError, StoreUnreachable
from reco_store.read.answer_types import STAGED

if TYPE_CHECKING:  # help and completion need not load redis
    from reco_store import Experiment

_T = TypeVar("_T")


class LiveState(NamedTuple):
    """Live state of one namespace."""

    namespace: str
    status: Status | None
    """None if it could not be read: the first of the errors is the reason."""
    experiment: "Experiment | None"
    """Experiment that the namespace records."""
    errors: tuple[StoreError, ...]
    """Errors of the parts that could not be read."""
    staged: str | None = None
    """Generation that waits to be served; None without one, or if the account may not read that."""


class LiveStates(NamedTuple):
    """Live states of all requested namespaces."""

    namespaces: tuple[LiveState, ...]
    """In the order to be shown; at least one has a status."""
    experiments: "tuple[Experiment, ...]"
    """Experiments that the namespaces record, each once."""

    def experiment_of(self, live: LiveState) -> "Experiment | None":
        """Return the namespace's own experiment, or the first one that it is an arm of."""
        others = (found for found in self.experiments if live.namespace in found.parts)
        return live.experiment or next(others, None)

    def verdict_of(self, live: LiveState) -> Mapping[str, Any] | None:
        """Return the verdict on a namespace's experiment; None before the first one.

        The namespace that records the experiment has it in its live manifest.
        """
        experiment = self.experiment_of(live)
        if experiment is None:
            return None
        for one in self.namespaces:
            found = None if one.status is None else one.status.manifest.get("experiment")
            if one.experiment == experiment and isinstance(found, Mapping):
                named = found.get("name"), found.get("began")
                return found if named == (experiment.name, experiment.began) else None
        return None

    def share_of(self, live: LiveState) -> float | None:
        """Return the namespace's share of users in its experiment, 0 to 1; None without one."""
        experiment = self.experiment_of(live)
        return None if experiment is None else experiment.parts.get(live.namespace)


def read_live_states(where: Where, names: Sequence[str], *, with_arms: bool) -> LiveStates:
    """Read the live state of namespaces; an error in one does not hide the others.

    Args:
        where: the store.
        names: names of the namespaces.
        with_arms: read all arms of the experiments that are recorded in them, too.

    Raises:
        UsageError: the address, or a name, has an unknown form.
        StoreError: the store cannot be read, or none of the namespaces can.
    """
    states = {name: _read(where._replace(namespace=name)) for name in names}
    if with_arms:
        arms = dict.fromkeys([*states, *(arm for each in _recorded(states) for arm in each.parts)])
        states = {arm: states.get(arm) or _read(where._replace(namespace=arm)) for arm in arms}
    shown = tuple(states.values())
    if all(live.status is None for live in shown):
        raise shown[0].errors[0]
    return LiveStates(shown, _recorded(states))


def _recorded(states: Mapping[str, LiveState]) -> "tuple[Experiment, ...]":
    """Return each experiment once."""
    recorded = (live.experiment for live in states.values() if live.experiment is not None)
    return tuple(dict.fromkeys(recorded))


def _read(where: Where) -> LiveState:
    errors: list[StoreError] = []
    with where.open() as reader:
        status = _result(reader.status, errors)
        if status is not None and status.missing:
            lost = f"{status.missing} of {status.sampled} sampled keys"
            named = where.generation is not None
            errors.append(DataLost(status.generation, lost, named=named))
        experiment = _result(reader.experiment, errors)
        # An account of an older installation may lack the permission.
        stored = _result(reader.generations, []) or ()
    staged = next((one.generation for one in stored if one.state == STAGED), None)
    return LiveState(where.namespace, status, experiment, tuple(errors), staged)


def _result(query: Callable[[], _T], errors: list[StoreError]) -> _T | None:
    """Return a query's result, or None after appending its error; an unreachable server raises."""
    try:
        return query()
    except StoreUnreachable:
        raise
    except StoreError as error:
        errors.append(error)
        return None
