"""Lock files: constraints.txt for the job, constraints-dev.txt for tests, checks and benchmarks."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ["constraints.txt", "constraints-dev.txt"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def pins(file: str) -> set[str]:
    """Return every `name==version ; marker` that is followed by a hash."""
    text = (ROOT / file).read_text("utf-8")
    return set(re.findall(r"^([\w.-]+==[^\\\n]+) \\\n    --hash=sha256:", text, re.MULTILINE))


def names(requirements: list[str] | set[str]) -> set[str]:
    """Return the names of the distributions that requirements are for."""
    return {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("file", FILES)
def test_packages_are_hashed_and_name_no_index(file) -> None:
    """Every line that names a package has a version and a hash; no line names an index."""
    text = (ROOT / file).read_text("utf-8")
    assert len(re.findall(r"^\w", text, re.MULTILINE)) == len(pins(file)) > 50
    assert not re.search(r"https?://|index-url|find-links|trusted-host", text)


def test_the_two_files_agree() -> None:
    """Tests run with the versions that the job runs with."""
    job, development = (set(re.findall(r"[\w.-]+==\S+", " ".join(pins(f)))) for f in FILES)
    assert job <= development


def test_the_job_installs_no_tools() -> None:
    """The runtime contains all that building and running need, no tools and no other extras."""
    groups, extras = PROJECT["dependency-groups"], PROJECT["project"]["optional-dependencies"]
    tools = [line for line in groups["dev"] if isinstance(line, str)]
    others = [line for name in ("tune", "bench", "ray") for line in extras[name]]
    needed = names({*groups["runtime"], *extras["batch"], *extras["embedded"], *extras["demo"]})
    pinned = names(pins("constraints.txt"))
    assert not pinned & names([*tools, *others])
    assert needed - {"reco"} <= pinned
