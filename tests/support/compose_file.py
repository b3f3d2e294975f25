"""The services of docker-compose.yml, with variables substituted as Compose does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<word>[^{}$]*))?\}")


class ComposeFile:
    """Parsed docker-compose.yml and the substitution of its variables."""

    variables: Mapping[str, str] = {
        "RECO_WRITER_PASSWORD": "w" * 64,
        "RECO_READER_PASSWORD": "r" * 64,
        "RECO_DATA_DIR": "/srv/ratings",
    }

    def __init__(self) -> None:
        self.text = (ROOT / "docker-compose.yml").read_text("utf-8")
        self.content: dict[str, Any] = yaml.safe_load(self.text)
        self.redis: dict[str, Any] = self.content["services"]["redis"]
        self.job: dict[str, Any] = self.content["services"]["job"]
        self.access_list: str = self.content["configs"]["users"]["content"]

    def fill(self, text: str, variables: Mapping[str, str] = variables) -> str:
        """Substitute variables; a required one that is missing or empty raises KeyError."""

        def value(match: re.Match[str]) -> str:
            found = variables.get(match["name"], "")
            if not found and match["kind"] == "?":
                raise KeyError(match["name"])
            return found or match["word"] or ""

        filled = VARIABLE.sub(value, text)
        assert "$" not in filled
        return filled

    def options(self) -> dict[str, str]:
        """Return the options of the server's command line."""
        program, *words = [self.fill(word) for word in self.redis["command"]]
        assert program == "valkey-server"
        return dict(zip(words[::2], words[1::2], strict=True))

    def users(self) -> dict[str, list[str]]:
        """Return the words of each user in the access list."""
        lines = [line.split() for line in self.fill(self.access_list).splitlines()]
        assert all(words[0] == "user" for words in lines)
        return {words[1]: words[2:] for words in lines}

    def granted(self, user: str) -> list[str]:
        """Return the words that grant rights to a user."""
        return [word for word in self.users()[user] if word.startswith(("+", "~", "%"))]

    def commands(self, user: str) -> set[str]:
        """Return the commands that a user may run."""
        return {word[1:] for word in self.granted(user) if word.startswith("+")}


def commands_of(client: Redis) -> dict[str, list[str]]:
    """Return every command and subcommand of a server, with as many arguments as it needs."""
    found: dict[str, list[str]] = {}

    def add(entries: list[list[Any]]) -> None:
        for entry in entries:
            name, arity, subcommands = entry[0].decode(), entry[1], entry[9]
            if not subcommands or arity == -1:
                words = name.split("|")
                found[name] = words + ["{reco}:current"] * (abs(arity) - len(words))
            add(subcommands)

    connection = client.connection_pool.get_connection()
    connection.send_command("COMMAND")  # client.command() would drop the subcommands
    add(connection.read_response())
    client.connection_pool.release(connection)
    return found
