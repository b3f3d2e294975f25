"""Check of the rights that publishing needs, made before a run begins.

An account may lack the right to query its rights (ACL DRYRUN), so each command is tried in a form
that changes nothing: on keys of a generation that does not exist, and SET only with XX. Errors for
any other reason are left for the run itself to report.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from redis import exceptions

from reco_store.connection.client import Client, account_of, is_cluster, label_of, store_errors
from reco_store.connection.explain import is_passing
from reco_store.connection.scripts import with_retries
from reco_store.contract.keys import Keys, new_generation_id, user_suffix
from reco_store.errors import StoreUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["require_rights"]

_NO_SCRIPT: Final = "return 1"


def require_rights(client: Client, keys: Keys) -> None:
    """Refuse an account that lacks rights that publishing needs.

    Raises:
        StoreUnfit: rights are missing; the message names all of them.
        StoreUnreachable: the store does not answer.
    """
    lacking: dict[str, None] = {}
    with store_errors(client):
        for pattern, words in _attempts(client, keys):
            refusal = _refusal(client, words)
            if refusal:
                lacking[pattern if "key" in refusal else f"+{words[0].lower()}"] = None
    if lacking:
        raise StoreUnfit(
            f"the account {account_of(client) or 'in use'} of the store at {label_of(client)} "
            f"lacks rights that publishing needs: {' '.join(lacking)}",
            "Grant them, or use an account that has them; docs/keys.md lists the rights that each "
            "account needs.",
        )


def _attempts(client: Client, keys: Keys) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each command that publishing sends, with the ACL pattern of the key it is tried on."""
    absent = new_generation_id(datetime.now(UTC))
    manifest, inventory = keys.manifest(absent), keys.inventory(absent, 0)
    value = keys.data(absent, user_suffix("0"))
    control, data = f"~{{{keys.namespace}}}:*", f"~{keys.namespace}:*"
    # A server checks the rights to a script's keys before it runs the script.
    scripted = (keys.current, keys.generations, keys.lock, keys.fence, keys.hold, manifest)
    yield "", ("INFO", "server")
    yield control, ("EVAL", _NO_SCRIPT, str(len(scripted)), *scripted)
    yield control, ("GET", keys.current)
    yield control, ("MGET", keys.current)
    yield control, ("PTTL", keys.lock)
    yield control, ("SET", inventory, "", "XX")
    yield control, ("DEL", manifest)
    yield control, ("UNLINK", inventory)
    yield data, ("GET" if is_cluster(client) else "MGET", value)
    yield data, ("SET", value, "", "XX")
    yield data, ("UNLINK", value)


def _refusal(client: Client, words: tuple[str, ...]) -> str:
    """Return the server's refusal of a command; empty if the account may send it."""
    try:
        with_retries(lambda: client.execute_command(*words))  # type: ignore[no-untyped-call]
    except exceptions.NoPermissionError as error:
        return str(error)
    except exceptions.ResponseError as error:
        if is_passing(error):
            raise
    return ""
