"""`batch init`, `batch config`, and what every command makes of a file of settings."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.cells import cell_len

from reco_batch.settings.option import choices
from reco_batch.settings.precedence import SETTINGS
from terminals import show

BATCH = Path(sys.executable).with_name("batch")
COMMANDS = (
    "run",
    "tune",
    "simulate",
    "republish",
    "generations",
    "rollback",
    "release",
    "init",
    "config",
)


@pytest.fixture
def file(tmp_path):
    """Write a file of settings."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_init_writes_a_file_that_config_reads(untrained, tmp_path):
    """A second `init` leaves it alone; --force does not."""
    path = tmp_path / "new.toml"

    first = untrained("init", path)
    second = untrained("init", path)

    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(f"wrote {path}; ")
    assert tomllib.loads(path.read_text("utf-8")).keys() == {"gate", "tune", "notify"}
    assert (second.code, second.out) == (2, "")
    assert second.err == (
        f"error: {path} is there already; expected no file. Use --force to replace it.\n"
    )
    assert untrained("init", path, "--force").code == 0
    assert untrained("init", "-").out == path.read_text("utf-8")


def test_config_names_every_origin(untrained, file):
    """Flag, variable, file and line, or default; one setting a line, separated by tabs."""
    path = file('keep = 5\n[notify]\nurl = "https://chat.example/hooks/Hunter2"\n')
    address = "redis://writer:Hunter2@h:1/0"

    ended = untrained(
        "config", "--config", path, "-k", 7, "--gate-bound", "churn=0.5", REDIS_URL=address
    )

    rows = {name: rest for name, *rest in (line.split("\t") for line in ended.out.splitlines())}
    assert rows.keys() == SETTINGS.keys()
    assert rows["k"] == ["7", "--k"]
    assert rows["gate.churn"] == ["0.5", "--gate-bound"]
    assert rows["redis_url"] == ["redis://writer:***@h:1/0", "REDIS_URL"]
    assert rows["keep"] == ["5", f"{path}:1"]
    assert rows["notify.url"] == ["https://chat.example/***", f"{path}:3"]
    assert rows["seed"] == ["42", "default"]
    assert rows["home"][1] == "RECO_HOME"
    assert "Hunter2" not in ended.out + ended.err


def test_config_is_one_json_object_on_request(untrained, file):
    """With the same facts, values as JSON has them."""
    path = file("rating_scale = [1, 7]\n[tune]\ntime_limit = inf\n")

    document = json.loads(untrained("config", "--json", "--config", path).out)

    assert (document["schema"], document["command"], document["file"]) == (1, "config", str(path))
    assert document["settings"].keys() == SETTINGS.keys()
    assert document["settings"]["rating_scale"] == {"value": [1.0, 7.0], "from": f"{path}:1"}
    assert document["settings"]["tune.time_limit"]["value"] is None
    assert document["settings"]["gate.churn"] == {"value": 0.8, "from": "default"}


@pytest.mark.parametrize("columns", [40, 80])
def test_config_fits_the_terminal(environment, columns, file):
    """As a table; what does not fit goes on in the next line, wide characters count as two."""
    path = file('data = "千と千尋の神隠し/🎬/千と千尋の神隠し"\n')

    ended = show([BATCH, "config", "--config", path], environment, columns=columns)

    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[0].split() == ["setting", "value", "from"]
    assert max(map(cell_len, lines)) <= columns
    assert "千と" in ended.out
    assert "\x1b" not in ended.out


def test_a_run_goes_by_the_file(folder, untrained, file):
    """Its value is refused where it stands; an option in its place is not."""
    path = file(f'data = "{folder()}"\nrating_scale = "1:2"\n')

    ended = untrained("run", "--config", path)
    assert ended.code == 4
    assert "expected a rating from 1 to 2" in ended.err

    ended = untrained("run", "--config", path, "--rating-scale", "0.5:5")
    assert "(tensorflow)" in ended.lines[-1]


def test_the_file_names_the_store(untrained, file, environment):
    """Every command that has a store reads it there."""
    path = file(f'redis_url = "{environment["REDIS_URL"]}"\nnamespace = "reco"\n')

    ended = untrained("generations", "--config", path, REDIS_URL="")

    assert (ended.code, ended.out.count("\tlive\t")) == (0, 1)


def test_data_must_be_said_somewhere(refused):
    """Where, the message tells."""
    assert refused("run", code=2) == (
        "error: --data is missing; expected a folder, or the name of a data set: as an option, in "
        "RECO_DATA, or as data in reco.toml"
    )


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(untrained, command, columns):
    """Every line of it."""
    ended = untrained(*command.split(), "--help", COLUMNS=columns)

    assert ended.code == 0
    assert max(map(cell_len, ended.out.splitlines())) <= int(columns)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_default_and_allowed_values(untrained, command):
    """Of every option; settings of words name each word."""
    shown = untrained(command, "--help").out
    entries = re.split(r"^  (?=-)", shown, flags=re.MULTILINE)[1:]
    options = {re.search(r"--[a-z-]+", entry)[0]: " ".join(entry.split()) for entry in entries}

    assert options.pop("--help")
    assert all("[" in said and "default: " in said for said in options.values())
    for name, field in SETTINGS.items():
        option = f"--{name.removeprefix('tune.').replace('_', '-')}"
        assert all(word in options.get(option, word) for word in choices(field))


def test_help_is_in_sections(untrained):
    """The headings are those of the file."""
    shown = untrained("run", "--help").out
    headings = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert headings == [
        "Where everything is",
        "What it learns from",
        "How it learns",
        "What it publishes",
        "When it is served",
        "How the night goes",
        "What is shown meanwhile",
        "Who is told how it ended",
        "Options",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_words(batch, shell):
    """What the person has begun is completed, in each of the common shells."""

    def complete(typed):
        words = typed.split(" ")
        return batch(
            _BATCH_COMPLETE=f"complete_{shell}",
            COMP_WORDS=typed,
            COMP_CWORD=str(len(words) - 1),
            _TYPER_COMPLETE_ARGS=typed,
            _TYPER_COMPLETE_FISH_ACTION="get-args",
            _TYPER_COMPLETE_WORD_TO_COMPLETE=words[-1],
        ).out

    assert "rollback" in complete("batch roll")
    assert "--checkpoint-seconds" in complete("batch run --check")
    assert "notebook" in complete("batch run --preset n")
    assert "json" in complete("batch run --log-format j")
    assert "_BATCH_COMPLETE=complete_" in batch(_BATCH_COMPLETE=f"source_{shell}").out


def test_version_is_one_line(environment):
    """Name and version."""
    ended = subprocess.run([BATCH, "--version"], env=environment, capture_output=True, check=True)
    assert re.fullmatch(rb"batch \(reco\) \d+\.\d+\.\d+\n", ended.stdout)
