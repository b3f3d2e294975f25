"""Notification about a failed or refused run: a command, a URL, or both.

The command and the URL receive one small JSON object. A hook that fails or takes too long causes a
warning and does not change the outcome of the run.
"""

import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from reco_batch.settings.all_settings import NotifyKeys
from reco_store import RecoError

SCHEMA: Final = 1
#: Characters of a failed hook's error output that the warning quotes.
_TAIL: Final = 200


class HookFailed(RecoError):
    """The hook could not be called, failed, or took too long."""


def notify(hook: NotifyKeys, event: Mapping[str, Any]) -> None:
    """Run the configured command, and post to the configured URL, even if the command fails.

    Args:
        hook: settings of the notification.
        event: fields of the JSON object: text, numbers or None.

    Raises:
        HookFailed: the command, the URL or both failed; the message contains no secret.
    """
    body = json.dumps({"schema": SCHEMA, **event}).encode()
    failures = []
    if hook.command:
        try:
            _run(hook.command, body, event, hook.timeout_seconds)
        except HookFailed as failure:
            failures.append(str(failure))
    if hook.url:
        try:
            _post(hook.url, body, hook.timeout_seconds)
        except HookFailed as failure:
            failures.append(str(failure))
    if failures:
        raise HookFailed("; ".join(failures))


def _run(command: tuple[str, ...], body: bytes, event: Mapping[str, Any], seconds: float) -> None:
    """Run the command with the object on standard input, and each field as RECO_*, too."""
    values = {f"RECO_{name.upper()}": "" if v is None else str(v) for name, v in event.items()}
    try:
        ended = subprocess.run(  # noqa: S603  # configured by the operator, without a shell
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
    except (OSError, ValueError) as error:  # missing, not executable, or with a NUL
        reason = getattr(error, "strerror", None) or error
        raise HookFailed(f"the hook {command[0]} could not be run ({reason})") from error
    if ended.returncode:
        output = ended.stderr.decode("utf-8", "replace").strip()[-_TAIL:]
        raise HookFailed(
            f"the hook {command[0]} ended with {ended.returncode}"
            + (f": {output}" if output else "")
        )


def _post(url: str, body: bytes, seconds: float) -> None:
    """Post the object, in a thread, since no timeout of urllib covers the DNS lookup."""
    failure: list[str] = []

    def post() -> None:
        try:
            request = urllib.request.Request(  # noqa: S310  # settings allow only http and https
                url, body, {"Content-Type": "application/json", "User-Agent": "reco"}
            )
            # Longer than `seconds`, so that the limit of `join` is always the one that is reported.
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
        raise HookFailed(f"the hook's URL {failure[0]}")
