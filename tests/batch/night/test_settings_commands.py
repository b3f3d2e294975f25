"""`batch init`, `batch config`, help, completion, and settings from a file."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.main import get_command
from typer.testing import CliRunner

from reco_batch.commands.app import app as batch_app
from reco_batch.settings.precedence import SETTINGS
from reco_batch.settings.setting_metadata import choices
from reco_cli.app import app as reco_app
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
    "experiment",
    "hide",
    "report",
    "diff",
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
    """A second `init` fails, and replaces the file with --force."""
    path = tmp_path / "new.toml"

    first = untrained("init", path)
    second = untrained("init", path)

    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(f"wrote {path}; ")
    assert tomllib.loads(path.read_text("utf-8")).keys() == {
        "input",
        "rules",
        "gate",
        "tune",
        "notify",
    }
    assert (second.code, second.out) == (2, "")
    assert second.err == (f"error: {path} exists already. Use --force to replace it.\n")
    assert untrained("init", path, "--force").code == 0
    assert untrained("init", "-").out == path.read_text("utf-8")


def test_config_names_every_origin(untrained, file):
    """An origin is an option, a variable, a line of the file, or the default."""
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


def test_config_shows_a_value_that_replaces_a_default_with_none(untrained):
    """`all` replaces the default, so `batch config` shows it."""
    rows = untrained("config", "--ranked-k", "all").out.splitlines()

    assert "ranked_k\tall\t--ranked-k" in rows


def test_a_command_that_is_no_list_is_refused_in_one_line(untrained, file):
    """A number in place of the program's words is an error of the file, not a traceback."""
    path = file("[notify]\ncommand = 7\n")

    ended = untrained("config", "--config", path)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        f"error: {path}:2: notify.command = ['7']: expected a list of words"
    )


def test_config_is_one_json_object_on_request(untrained, file):
    """The object has the same values, and the file that was read."""
    path = file("rating_scale = [1, 7]\n[tune]\ntime_limit = inf\n")

    document = json.loads(untrained("config", "--json", "--config", path).out)

    assert (document["schema"], document["command"], document["file"]) == (1, "config", str(path))
    assert document["settings"].keys() == SETTINGS.keys()
    assert document["settings"]["rating_scale"] == {"value": [1.0, 7.0], "from": f"{path}:1"}
    assert document["settings"]["tune.time_limit"]["value"] is None
    assert document["settings"]["gate.churn"] == {"value": 0.8, "from": "default"}


@pytest.mark.parametrize("columns", [40, 80])
def test_config_fits_the_terminal(environment, columns, file):
    """The table wraps long values, and counts wide characters as two columns."""
    path = file('data = "千と千尋の神隠し/🎬/千と千尋の神隠し"\n')

    ended = show([BATCH, "config", "--config", path], environment, columns=columns)

    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[0].split() == ["setting", "value", "from"]
    assert max(map(cell_len, lines)) <= columns
    assert "千と" in ended.out
    assert "\x1b" not in ended.out


def test_a_run_reads_the_file(folder, untrained, file):
    """A value of the file applies until an option overrides it."""
    path = file(f'data = "{folder()}"\nrating_scale = "1:2"\n')

    ended = untrained("run", "--config", path)
    assert ended.code == 4
    assert "expected a rating from 1 to 2" in ended.err

    ended = untrained("run", "--config", path, "--rating-scale", "0.5:5")
    assert "(tensorflow)" in ended.lines[-1]


def test_the_file_names_the_store(untrained, file, environment):
    """Commands read address and namespace of the store from the file."""
    path = file(f'redis_url = "{environment["REDIS_URL"]}"\nnamespace = "reco"\n')

    ended = untrained("generations", "--config", path, REDIS_URL="")

    assert (ended.code, ended.out.count("\tlive\t")) == (0, 1)


def test_data_is_required(refused):
    """The error names all places for it."""
    assert refused("run", code=2) == (
        "error: --data is missing; expected a folder, or the name of a data set: as an option, in "
        "RECO_DATA, or as data in reco.toml; or ratings and items in [input]"
    )


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(untrained, command, columns):
    """No line of the help is wider than the terminal."""
    ended = untrained(*command.split(), "--help", COLUMNS=columns)

    assert ended.code == 0
    assert max(map(cell_len, ended.out.splitlines())) <= int(columns)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_default_and_allowed_words(untrained, command):
    """The help of each option contains its default, and every word of a choice."""
    shown = untrained(command, "--help").out
    entries = re.split(r"^  (?=-)", shown, flags=re.MULTILINE)[1:]
    options = {re.search(r"--?[a-z-]+", entry)[0]: " ".join(entry.split()) for entry in entries}

    assert options.pop("--help")
    assert all("default: " in text for text in options.values())
    for name, field in SETTINGS.items():
        option = f"--{name.removeprefix('tune.').replace('_', '-')}"
        assert all(word in options.get(option, word) for word in choices(field))


@pytest.mark.parametrize("app", [batch_app, reco_app], ids=["batch", "reco"])
def test_help_texts_are_short(app):
    """The text of an option, without the facts behind it, has at most 70 characters."""
    long = {}
    for name, command in get_command(app).commands.items():
        for param in command.params:
            text = re.split(r" \[\w+: | Default: ", param.help or "")[0]
            if len(text) > 70:
                long[f"{name} {param.name}"] = text

    assert long == {}


@pytest.mark.parametrize("app", [batch_app, reco_app], ids=["batch", "reco"])
def test_summaries_fit_in_the_list_of_commands(app):
    """No summary is cut on a terminal of 80 columns."""
    shown = CliRunner().invoke(app, ["--help"], terminal_width=78).output

    assert "..." not in shown.partition("\nCommands:")[2]


@pytest.mark.parametrize("app", [batch_app, reco_app], ids=["batch", "reco"])
def test_arguments_have_no_braces_and_no_type(app):
    """An argument has one name in the usage line and in its section, and `...` at most once."""
    for name, command in get_command(app).commands.items():
        shown = CliRunner().invoke(app, [name, "--help"], terminal_width=78).output
        arguments = [one for one in command.params if one.param_type_name == "argument"]

        assert not re.search(r"[{}]|<\w|\.\.\.[\]}]?\.\.\.", shown)
        for one in arguments:
            assert shown.count(one.metavar) >= 2


def test_help_is_in_sections(untrained):
    """Sections have the order of the file, except that tables are last in TOML."""
    shown = untrained("run", "--help").out
    headings = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert headings == [
        "Input",
        "Model",
        "Output",
        "Quality gate",
        "Run",
        "Logging",
        "Monitoring",
        "Store",
        "Options",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_words(batch, shell):
    """Bash, zsh and fish complete the beginning of a word."""

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
    """The line has the command's name and its version."""
    ended = subprocess.run([BATCH, "--version"], env=environment, capture_output=True, check=True)
    assert re.fullmatch(rb"batch \(reco\) \d+\.\d+\.\d+\n", ended.stdout)


def test_places_of_a_list_are_masked(untrained, file):
    """A list of places keeps its order, and shows no secret."""
    path = file('[input]\nratings = ["s3://AKIA:Hunter2@shop/a.csv", "b.csv"]\n')

    rows = dict(
        line.split("\t")[:2] for line in untrained("config", "--config", path).out.splitlines()
    )
    wrong = untrained("check-data", "--config", file("[input]\nratings = []\n"))

    assert rows["input.ratings"] == '["s3://***@shop/a.csv", "b.csv"]'
    assert wrong.code == 2
    assert "or in reco.toml a list of them" in wrong.err
