"""Guarantees of the job's image that the Dockerfile and a wheel of its files show."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = r"python:(3\.\d+)\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Return the instructions in order, with continued lines joined and without comments."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", code).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined if line.strip()]


@pytest.fixture(scope="module")
def copied(instructions) -> list[str]:
    """Return the files and folders that are copied into the image."""
    return [name for word, rest in instructions if word == "COPY" for name in rest.split()[:-1]]


def of(instructions: list[tuple[str, str]], word: str) -> list[str]:
    """Return the arguments of all instructions of one kind."""
    return [rest for kind, rest in instructions if kind == word]


def test_base_is_one_release_of_a_slim_python(instructions) -> None:
    """The only base is a patch release of a slim Python that the project supports."""
    (base,) = of(instructions, "FROM")
    minor = re.fullmatch(PINNED, base)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Programming Language :: Python :: {minor}" in project["classifiers"]


def test_packages_are_installed_by_hash(instructions) -> None:
    """The image installs hashed packages from constraints.txt, then only the project itself."""
    packages, project = [run for run in of(instructions, "RUN") if "pip" in run]
    assert {"--require-hashes", "constraints.txt"} <= set(packages.split())
    assert project == "pip install --no-deps --no-build-isolation ."
    text = " ".join(rest for _, rest in instructions)
    assert not re.search(r"https?://|index-url|find-links|trusted-host", text)


def test_packages_come_before_the_code(instructions) -> None:
    """A change of code keeps the layer with the packages."""
    steps = [rest for word, rest in instructions if word in ("COPY", "RUN")]
    assert steps[0] == "constraints.txt ./"
    assert steps[1].endswith("--require-hashes -r constraints.txt")


def test_job_runs_as_an_unprivileged_user(instructions) -> None:
    """The command runs as a numbered user that is not root and cannot log in."""
    (user,) = of(instructions, "USER")
    uid, gid = map(int, user.split(":"))
    assert uid >= 1000
    assert gid >= 1000
    (made,) = [run for run in of(instructions, "RUN") if "useradd" in run]
    assert f"--uid {uid} " in made
    assert f"--gid {gid} " in made
    assert "nologin" in made
    order = [word for word, _ in instructions]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert "RUN" not in order[order.index("USER") :]


def test_home_is_the_users_own_volume(instructions, compose) -> None:
    """The user owns RECO_HOME before it becomes a volume, and Compose mounts it."""
    (home,) = [env.partition("=")[2] for env in of(instructions, "ENV") if "RECO_HOME" in env]
    assert of(instructions, "VOLUME") == [home]
    (run,) = [run for run in of(instructions, "RUN") if "install --directory" in run]
    assert '--owner=reco --group=reco --mode=0700 "$RECO_HOME"' in run
    order = [rest for _, rest in instructions]
    assert order.index(f"RECO_HOME={home}") < order.index(run) < order.index(home)
    assert f"home:{home}" in compose.job["volumes"]


def test_image_is_the_batch_command(instructions) -> None:
    """Without arguments the image runs `batch run`; with arguments, any command of `batch`."""
    (entrypoint,) = of(instructions, "ENTRYPOINT")
    (command,) = of(instructions, "CMD")
    assert json.loads(entrypoint) == ["batch"]
    assert json.loads(command) == ["run"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert "batch" in scripts


def test_no_secret_is_built_in(instructions) -> None:
    """No build argument, variable or file can hold a password."""
    assert not of(instructions, "ARG")
    assert not of(instructions, "ADD")
    text = " ".join(rest for _, rest in instructions)
    assert not re.search(r"password|passwd|secret|token|credential|redis_url|\.env", text, re.I)


def test_ignore_file_excludes_what_is_not_copied(copied) -> None:
    """The ignore file excludes everything but what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    first, *rest = [line for line in lines if line and not line.startswith("#")]
    assert first == "*"
    assert {line[1:] for line in rest if line.startswith("!")} == set(copied)
    assert rest[-1] == "**/__pycache__"
    assert all((ROOT / name).exists() for name in copied)


def test_project_builds_from_the_copied_files(copied, tmp_path) -> None:
    """The project builds from the copied files alone, with all modules and Lua scripts."""
    source = tmp_path / "source"
    source.mkdir()
    for name in copied:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tmp_path, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("reco-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in (("store", "reco_store"), ("cli", "reco_cli"), ("batch", "reco_batch")):
        for path in (source / folder / package).rglob("*"):
            if path.is_file():
                assert path.relative_to(source / folder).as_posix() in names
