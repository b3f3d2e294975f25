"""Store of reco: key contract, codec, publisher, reader, generations, embedded server.

No module loads TensorFlow, pandas or numpy. Public names are imported at first use, so
``import reco_store`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

from reco_store._version import __version__ as __version__

if TYPE_CHECKING:
    from reco_store.connection.addresses import mask_url as mask_url
    from reco_store.connection.client import store_errors as store_errors
    from reco_store.connection.connect import connect as connect
    from reco_store.contract.digest import Digest as Digest
    from reco_store.contract.digest import Summary as Summary
    from reco_store.contract.experiment import Experiment as Experiment
    from reco_store.contract.keys import Keys as Keys
    from reco_store.contract.keys import new_generation_id as new_generation_id
    from reco_store.control.hide_list import hidden as hidden
    from reco_store.control.hide_list import hide as hide
    from reco_store.control.hide_list import unhide as unhide
    from reco_store.control.lock import RunLock as RunLock
    from reco_store.errors import ContractMismatch as ContractMismatch
    from reco_store.errors import DataLost as DataLost
    from reco_store.errors import Fenced as Fenced
    from reco_store.errors import Held as Held
    from reco_store.errors import LockHeld as LockHeld
    from reco_store.errors import NothingPublished as NothingPublished
    from reco_store.errors import NotInstalled as NotInstalled
    from reco_store.errors import RecoError as RecoError
    from reco_store.errors import StoreError as StoreError
    from reco_store.errors import StoreNotReady as StoreNotReady
    from reco_store.errors import StoreUnfit as StoreUnfit
    from reco_store.errors import StoreUnreachable as StoreUnreachable
    from reco_store.errors import UnknownGeneration as UnknownGeneration
    from reco_store.errors import UsageError as UsageError
    from reco_store.errors import VerifyFailed as VerifyFailed
    from reco_store.publishing.generations import GenerationRecord as GenerationRecord
    from reco_store.publishing.generations import collect as collect
    from reco_store.publishing.generations import list_generations as list_generations
    from reco_store.publishing.generations import release as release
    from reco_store.publishing.generations import rollback as rollback
    from reco_store.publishing.outcome import GateInput as GateInput
    from reco_store.publishing.outcome import Published as Published
    from reco_store.publishing.outcome import Verdict as Verdict
    from reco_store.publishing.promotion import promote as promote
    from reco_store.publishing.publisher import flip as flip
    from reco_store.publishing.publisher import publish as publish
    from reco_store.publishing.staging import PayloadSource as PayloadSource
    from reco_store.publishing.staging import stage as stage
    from reco_store.publishing.staging import verify as verify
    from reco_store.read.answer_types import Answer as Answer
    from reco_store.read.answer_types import Item as Item
    from reco_store.read.answer_types import Movie as Movie
    from reco_store.read.answer_types import Reason as Reason
    from reco_store.read.answer_types import Status as Status
    from reco_store.read.answer_types import StoredGeneration as StoredGeneration
    from reco_store.read.async_reader import AsyncReader as AsyncReader
    from reco_store.read.list_query import ListFilters as Choice  # noqa: F401  deprecated
    from reco_store.read.list_query import ListFilters as ListFilters
    from reco_store.read.reader import Reader as Reader

_HOMES = {
    "read.answer_types": ("Answer", "Item", "Movie", "Reason", "Status", "StoredGeneration"),
    "read.async_reader": ("AsyncReader",),
    "read.list_query": ("ListFilters",),
    "connection.addresses": ("mask_url",),
    "connection.client": ("store_errors",),
    "connection.connect": ("connect",),
    "contract.digest": ("Digest", "Summary"),
    "errors": (
        "ContractMismatch",
        "DataLost",
        "Fenced",
        "Held",
        "LockHeld",
        "NotInstalled",
        "NothingPublished",
        "RecoError",
        "StoreError",
        "StoreNotReady",
        "StoreUnfit",
        "StoreUnreachable",
        "UnknownGeneration",
        "UsageError",
        "VerifyFailed",
    ),
    "contract.experiment": ("Experiment",),
    "publishing.generations": (
        "GenerationRecord",
        "collect",
        "list_generations",
        "release",
        "rollback",
    ),
    "control.hide_list": ("hidden", "hide", "unhide"),
    "contract.keys": ("Keys", "new_generation_id"),
    "control.lock": ("RunLock",),
    "publishing.outcome": ("GateInput", "Published", "Verdict"),
    "publishing.promotion": ("promote",),
    "publishing.publisher": ("flip", "publish"),
    "read.reader": ("Reader",),
    "publishing.staging": ("PayloadSource", "stage", "verify"),
}
#: Former names, which still work with a warning.
_RENAMED = {"Choice": "ListFilters"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  a test compares it with the list of public names


def __getattr__(name: str) -> Any:  # noqa: ANN401  any public object
    if name in _RENAMED:
        message = f"reco_store.{name} was renamed: import {_RENAMED[name]} instead"
        warn(message, DeprecationWarning, stacklevel=2)
        return __getattr__(_RENAMED[name])
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # later uses do not call this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
