"""Every block of code in README.md and docs/ runs."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from doc_blocks import NODE, Block, blocks, require_packages

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Workshop

# Its blocks are one story, which test_tutorial.py runs as a whole.
STORY = "docs/tutorial.md"
# Blocks for other programs are only parsed; lines that call `batch` in them are checked as in cron.
_BATCH = re.compile(r"\S*\bbatch run\b[^\n\"';|&]*")


def shell(block: Block, shop: Workshop) -> None:
    """Run a shell block."""
    if "npm " in block.text:
        require_packages()
    ended = shop.run("bash", "-euo", "pipefail", text=shop.fitted(block.text))
    assert ended.returncode == 0, ended.stderr


def console(block: Block, shop: Workshop) -> None:
    """Run the lines with a prompt; the output on the page is of another data set."""
    lines = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
    assert lines
    ended = shop.run("bash", "-euo", "pipefail", text=shop.fitted("\n".join(lines)))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def python(block: Block, shop: Workshop) -> None:
    """Run a Python block."""
    command = [".venv/bin/python", "-"]
    ended = shop.run(*command, text=shop.fitted(block.text), REDIS_URL=shop.redis_url)
    assert ended.returncode == 0, ended.stderr


def settings(block: Block, shop: Workshop) -> None:
    """Load a settings file."""
    assert tomllib.loads(block.text)
    file = shop.folder / "documented.toml"
    file.write_text(shop.fitted(block.text), "utf-8")
    ended = shop.run(".venv/bin/batch", "config", "--config", str(file))
    assert ended.returncode == 0, ended.stderr


def cron(block: Block, shop: Workshop) -> None:
    """Check five time fields and the options of the command."""
    for line in filter(None, block.text.splitlines()):
        if not re.match(r"[A-Z_]+=", line):
            assert re.match(r"([\d*/,-]+\s+){5}\S", line)
    accepts_options(block, shop)


def unit(block: Block, shop: Workshop) -> None:
    """Parse systemd units, and check their commands."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(block.text)
    assert parser.sections()
    accepts_options(block, shop)


def yaml_(block: Block, shop: Workshop) -> None:
    """Parse YAML, and check the commands in it."""
    assert list(yaml.safe_load_all(block.text))
    accepts_options(block, shop)


def json_(block: Block, shop: Workshop) -> None:
    """Parse JSON, as one document or one per line."""
    for text in [block.text] if block.text.startswith("{\n") else block.text.splitlines():
        json.loads(text)


def javascript(block: Block, shop: Workshop) -> None:
    """Run a Node block with the packages of the example."""
    require_packages()
    command = ["node", "--input-type=module", "--eval", block.text]
    ended = shop.run(*command, cwd=NODE, REDIS_URL=shop.redis_url)
    assert ended.returncode == 0, ended.stderr


def go(block: Block, shop: Workshop) -> None:
    """Skip: machines that run tests have no Go compiler, which the page mentions."""
    pytest.skip("there is no Go compiler")


def sample(block: Block, shop: Workshop) -> None:
    """Require that a block without a language shows output, a formula or a folder, no command."""
    for line in block.text.splitlines():
        assert not re.match(r"\$ |(\S*/)?(batch|reco|make|redis-cli) ", line), line


def accepts_options(block: Block, shop: Workshop) -> None:
    """Require that `batch config` accepts the options of each `batch run`."""
    assert _BATCH.search(block.text) or not block.language.endswith("elsewhere")
    for call in _BATCH.findall(block.text):
        words = shlex.split(shop.fitted(call).replace("batch run", "batch config"), comments=True)
        words[0] = ".venv/bin/batch"
        ended = shop.run(*words)
        assert ended.returncode == 0, ended.stderr


RUN: dict[str, Callable[[Block, Workshop], None]] = {
    "sh": shell,
    "sh elsewhere": accepts_options,
    "console": console,
    "python": python,
    "toml": settings,
    "cron": cron,
    "ini": unit,
    "yaml": yaml_,
    "json": json_,
    "js": javascript,
    "go": go,
    "": sample,
}


@pytest.mark.parametrize(
    "block",
    [block for block in blocks() if block.language == "cron" or not block.name.startswith(STORY)],
    ids=lambda block: block.name,
)
@pytest.mark.slow
def test_block_runs(block, workshop):
    """The block runs in a fresh folder, with the embedded store and a Redis."""
    assert block.language in RUN, f"{block.name}: no runner for {block.language!r}"
    RUN[block.language](block, workshop)
