"""Tells somebody that a night failed or was refused: a command, or an address of the web.

What is told is one small JSON object. A hook that fails or takes too long is a warning, and never
changes how the night ends.
"""

import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from reco_batch.settings.fields import NotifyKeys
from reco_store import RecoError

SCHEMA: Final = 1
_TAIL: Final = 200  # characters of what a hook says when it fails


class HookFailed(RecoError):
    """Nobody was told: the hook could not be run, failed, or took too long."""


def notify(hook: NotifyKeys, told: Mapping[str, Any]) -> None:
    """Call the command and post to the address, as far as there are any.

    Args:
        hook: whom to tell.
        told: what; values are text, numbers or None.

    Raises:
        HookFailed: one of them failed; says how, without what may be secret.
    """
    body = json.dumps({"schema": SCHEMA, **told}).encode()
    if hook.command:
        _run(hook.command, body, told, hook.timeout_seconds)
    if hook.url:
        _post(hook.url, body, hook.timeout_seconds)


def _run(command: tuple[str, ...], body: bytes, told: Mapping[str, Any], seconds: float) -> None:
    """Run the command: the object on its standard input, each value in RECO_* too."""
    values = {f"RECO_{name.upper()}": "" if v is None else str(v) for name, v in told.items()}
    try:
        ended = subprocess.run(  # noqa: S603  # the operator's own, without a shell
            command,
            input=body,
            env={**os.environ, **values},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HookFailed(
            f"the hook {command[0]} did not end within {seconds:g} s and was stopped"
        ) from error
    except (OSError, ValueError) as error:  # not there, may not be run, a NUL in a word
        reason = getattr(error, "strerror", None) or error
        raise HookFailed(f"the hook {command[0]} could not be run ({reason})") from error
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip()[-_TAIL:]
        raise HookFailed(
            f"the hook {command[0]} ended with {ended.returncode}" + (f": {said}" if said else "")
        )


def _post(url: str, body: bytes, seconds: float) -> None:
    """Post the object; in a thread, since no time-out covers a name that is looked up for long."""
    failure: list[str] = []

    def post() -> None:
        try:
            request = urllib.request.Request(  # noqa: S310  # http or https, which settings hold
                url, body, {"Content-Type": "application/json", "User-Agent": "reco"}
            )
            # Longer than we wait: of the two limits it is ours that is met, and said.
            with urllib.request.urlopen(request, timeout=2 * seconds):  # noqa: S310
                pass
        except urllib.error.HTTPError as error:
            failure.append(f"answered {error.code}")
            error.close()
        except (OSError, ValueError) as error:
            failure.append(f"was not reached ({getattr(error, 'reason', error)})")

    posting = threading.Thread(target=post, daemon=True)
    posting.start()
    posting.join(seconds)
    if posting.is_alive():
        failure.append(f"did not answer within {seconds:g} s")
    if failure:
        raise HookFailed(f"the hook's address {failure[0]}")
