"""Every command is documented, and every documented command exists."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from doc_blocks import ROOT, inline_commands
from reco_batch.commands.app import app as batch_app
from reco_cli.app import app as reco_app


def commands(name, app):
    """Return every command by its words, including those of groups."""
    found = {}
    for word, command in app.commands.items():
        if hasattr(command, "commands"):
            found |= commands(f"{name} {word}", command)
        else:
            found[f"{name} {word}"] = command
    return found


COMMANDS = {**commands("batch", get_command(batch_app)), **commands("reco", get_command(reco_app))}
INLINE = inline_commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented(name):
    """The table of docs/commands.md has a row for it."""
    assert f"| `{name}" in (ROOT / "docs" / "commands.md").read_text("utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_help(name):
    """The command and each of its options have a help text."""
    command = COMMANDS[name]
    assert command.help
    assert all(getattr(param, "help", None) for param in command.params)


@pytest.mark.parametrize(("where", "code"), INLINE, ids=[where for where, _ in INLINE])
def test_mentioned_command_is_there(where, code):
    """A mentioned command exists with all mentioned options."""
    words = code.split()
    names = [" ".join(words[:2]), " ".join(words[:3])]
    known = [COMMANDS[name] for name in names if name in COMMANDS]
    if not known:
        assert words[1].startswith("-"), f"{where}: there is no {code!r}"
        return
    options = {
        option for param in known[0].params for option in [*param.opts, *param.secondary_opts]
    }
    mentioned = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", code))
    assert mentioned <= options | {"--help"}, f"{where}: {code!r}"
