"""Translation of the client library's errors: the cause and the next step.

Each function recognises one kind of cause and returns None for all others. Refusals of a server are
recognised by the text of its reply, because many replies have no error class of their own.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from redis import exceptions

from reco_store.errors import (
    ContractMismatch,
    RecoError,
    StoreNotReady,
    StoreUnfit,
    StoreUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ENDED_AFTER_HANDSHAKE", "is_passing", "translate"]

#: First words of an error that the TLS hook of `connect` raises.
ENDED_AFTER_HANDSHAKE: Final = "the server ended the connection after the TLS handshake"
_RIGHTS: Final = "docs/keys.md lists the rights that each account needs"
_ENCODE: Final = "write / ? # @ % [ ] in them percent-encoded"
#: Replies to a script that runs a command, or uses a key, without permission.
_REFUSED_IN_SCRIPT: Final = re.compile(
    r"ACL failure in script|executing the script can't (?:run|access)"
)
_WANTS_CERTIFICATE: Final = re.compile(
    "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|ALERT_UNKNOWN_CA|ALERT_BAD_CERTIFICATE"
)
_COMMAND: Final = re.compile(r"run the '([\w|-]+)' command")
_UNKNOWN_COMMAND: Final = re.compile(r"unknown command '?`?([\w|-]+)", re.IGNORECASE)
_NOT_READY: Final = (
    (exceptions.BusyLoadingError, "", "the server is loading its data after a start"),
    (
        exceptions.MasterDownError,
        "",
        "the server is a replica that lost its primary and serves no stale data",
    ),
    (exceptions.ClusterDownError, "", "the cluster is down: it does not serve all of its slots"),
    (exceptions.ResponseError, "BUSY ", "the server is busy with a slow script"),
)
#: Server replies with a fixed explanation: part of the reply, its meaning, the next step.
_REPLIES: Final = (
    (
        "DB index is out of range",
        "has no database of that number",
        "Give a lower one after the last / of the address, usually 0 to 15.",
    ),
    (
        "SELECT is not allowed in cluster mode",
        "is a Redis Cluster, which has database 0 only",
        "Use redis+cluster:// and no number of a database.",
    ),
    (
        "MISCONF",
        "takes no writes, because it cannot save to its disk ",
        "See the server's log; make room on its disk.",
    ),
    (
        "NOREPLICAS",
        "takes no writes, because too few of its replicas are connected",
        "Check its replicas.",
    ),
)
#: Codes of OpenSSL for certificates that are not trusted (X509_V_ERR_*).
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_HOST: Final = (62, 64)
_CUT_OFF: Final = (
    ConnectionResetError,
    BrokenPipeError,
    TimeoutError,
    ssl.SSLError,
    exceptions.TimeoutError,
)


class _Fault(NamedTuple):
    error: Exception
    where: str
    account: str

    @property
    def text(self) -> str:
        return str(self.error) or type(self.error).__name__

    @property
    def chain(self) -> Iterator[BaseException]:
        """Yield the error and its causes."""
        error: BaseException | None = self.error
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            yield error
            error = error.__cause__ or error.__context__

    @property
    def is_tls(self) -> bool:
        return self.where.startswith("rediss")


def translate(error: Exception, where: str, account: str = "") -> RecoError:
    """Return the error of this package that explains an error of the client library.

    Args:
        error: a RedisError, or an OSError of its socket.
        where: printable address of the store.
        account: account with which the client logs in; empty if unknown.
    """
    fault = _Fault(error, where, account or "in use")
    for explain in _EXPLANATIONS:
        found = explain(fault)
        if found is not None:
            return found
    if isinstance(error, exceptions.ResponseError):
        return StoreUnfit(
            f"the store at {where} refused a command ({fault.text})", "See the server's log."
        )
    return StoreUnreachable(where, fault.text)


def is_passing(error: BaseException) -> bool:
    """Return whether a server replied that it is not ready yet, so that waiting may help."""
    return isinstance(error, StoreNotReady) or bool(_reason_to_wait(error))


def _reason_to_wait(error: BaseException) -> str:
    text = str(error)
    return next(
        (
            reason
            for kind, begin, reason in _NOT_READY
            if isinstance(error, kind) and text.startswith(begin)
        ),
        "",
    )


def _not_ready(fault: _Fault) -> RecoError | None:
    for error in fault.chain:
        reason = _reason_to_wait(error)
        if reason:
            return StoreNotReady(fault.where, f"{reason} ({fault.text})")
    return None


def _rights(fault: _Fault) -> RecoError | None:
    text = fault.text
    in_script = bool(_REFUSED_IN_SCRIPT.search(text))
    if not in_script and not isinstance(fault.error, exceptions.NoPermissionError):
        return None
    command = _COMMAND.search(text)
    if command:
        lacking, remedy = command[1].upper(), f"+{command[1]}"
    elif "key" in text:
        lacking, remedy = "one of the keys that it needs", "the keys of this namespace"
    elif in_script:
        lacking, remedy = "a command of a script", "+get +set +del +pttl +info"
    else:
        lacking, remedy = "a command that it needs", "it"
    verb = "use" if "key" in lacking else "run"
    return StoreUnfit(
        f"the account {fault.account} of the store at {fault.where} may not {verb} {lacking} "
        f"({text})",
        f"Grant the account {remedy}; {_RIGHTS}.",
    )


def _login(fault: _Fault) -> RecoError | None:
    if not isinstance(
        fault.error,
        exceptions.AuthenticationError | exceptions.AuthenticationWrongNumberOfArgsError,
    ):
        return None
    if "Authentication required" in fault.text:
        return StoreUnreachable(
            fault.where,
            f"the server requires a user name and password, and the address has none "
            f"({fault.text})",
            f"Write them before the host, as in USER:PASSWORD@HOST; {_ENCODE}.",
        )
    if "without any password" in fault.text:
        return StoreUnreachable(
            fault.where,
            "the address has a password, and the server requires none",
            "Leave it out, or check whether this is the right server.",
        )
    return StoreUnreachable(
        fault.where,
        f"the server refused the login of the account {fault.account} ({fault.text})",
        f"Check user name and password in the address; {_ENCODE}.",
    )


def _server_kind(fault: _Fault) -> RecoError | None:
    """Explain an address that leads to a server of another kind."""
    if isinstance(fault.error, exceptions.MovedError):
        return StoreUnfit(
            f"the server at {fault.where} is a node of a Redis Cluster",
            "Use redis+cluster:// (with TLS rediss+cluster://) in its address.",
        )
    if any("luster mode is not enabled" in str(error) for error in fault.chain):
        return StoreUnfit(
            f"the server at {fault.where} is not part of a Redis Cluster",
            "Use redis:// (with TLS rediss://) in its address.",
        )
    if type(fault.error).__name__ == "MasterNotFoundError":  # sync and asyncio have one each
        return StoreUnreachable(
            fault.where,
            "no Sentinel there has a primary of that name that is up",
            "Check that the Sentinels run and that they are configured with the name; their own "
            "password goes into ?sentinel_password=.",
        )
    if isinstance(fault.error, exceptions.ReadOnlyError):
        return StoreUnfit(
            f"the server at {fault.where} is a replica", "Publish to the primary of this store."
        )
    return None


def _reply(fault: _Fault) -> RecoError | None:
    if not isinstance(fault.error, exceptions.ResponseError):
        return None
    if isinstance(fault.error, exceptions.OutOfMemoryError):
        return StoreUnfit(
            f"the store at {fault.where} is full", "Raise maxmemory, or keep fewer generations."
        )
    if "WRONGTYPE" in fault.text:
        return ContractMismatch(
            f"a key of another type at {fault.where}",
            "strings, and sets where docs/keys.md has them",
            "Something else writes under this namespace; choose another with --namespace.",
        )
    unknown = _UNKNOWN_COMMAND.search(fault.text)
    if unknown:
        return StoreUnfit(
            f"the store at {fault.where} does not know the command {unknown[1].upper()}",
            f"It is renamed, disabled, or too new for this server; {_RIGHTS}.",
        )
    for part, meaning, remedy in _REPLIES:
        if part in fault.text:
            return StoreUnfit(f"the store at {fault.where} {meaning} ({fault.text})", remedy)
    return None


def _certificate(fault: _Fault) -> RecoError | None:
    """Explain why the server's certificate is not trusted."""
    refused = next((e for e in fault.chain if isinstance(e, ssl.SSLCertVerificationError)), None)
    if refused is None:
        return None
    shown = refused.verify_message or refused.reason
    if refused.verify_code == _EXPIRED:
        reason, remedy = "the server's certificate has expired", "Renew it."
    elif refused.verify_code == _NOT_YET_VALID:
        reason, remedy = "the server's certificate is not valid yet", "Check both clocks."
    elif refused.verify_code in _OTHER_HOST:
        reason = f"the server's certificate is for another host ({shown.rstrip('.')})"
        remedy = "Use in rediss:// a name that the certificate has, or issue one for this name."
    else:
        reason = f"the server's certificate is from an authority that is not known here ({shown})"
        remedy = "Name the authority's file: rediss://...?ssl_ca_certs=FILE."
    return StoreUnreachable(fault.where, reason, remedy)


def _handshake(fault: _Fault) -> RecoError | None:
    """Explain why no TLS connection was made."""
    text = fault.text + "".join(str(error) for error in fault.chain)
    if ENDED_AFTER_HANDSHAKE in text or _WANTS_CERTIFICATE.search(text):
        return StoreUnreachable(
            fault.where,
            f"the server requires a client certificate, or another one ({fault.text})",
            "Name one that is signed by an authority of the server: "
            "rediss://...?ssl_certfile=FILE&ssl_keyfile=FILE.",
        )
    if not any(isinstance(error, _CUT_OFF) for error in fault.chain) and (
        "Connection closed by server" not in text
    ):
        return None
    if fault.is_tls:
        return StoreUnreachable(
            fault.where,
            f"no TLS connection was made ({fault.text})",
            "If the server has no TLS on this port, use redis:// instead of rediss://, or its TLS "
            "port.",
        )
    if fault.where.startswith("unix:") or any(
        isinstance(error, TimeoutError | exceptions.TimeoutError) for error in fault.chain
    ):
        return None
    return StoreUnreachable(
        fault.where,
        f"the connection was cut off ({fault.text})",
        "If the server uses TLS, use rediss:// instead of redis://, and ssl_ca_certs=FILE for an "
        "authority of your own; else see its log.",
    )


def _name(fault: _Fault) -> RecoError | None:
    if not any(isinstance(error, socket.gaierror) for error in fault.chain):
        return None
    return StoreUnreachable(
        fault.where, "the name of its host is not known", "Check the host in the address."
    )


_EXPLANATIONS: Final[tuple[Callable[[_Fault], RecoError | None], ...]] = (
    _not_ready,
    _rights,
    _login,
    _server_kind,
    _reply,
    _certificate,
    _name,
    _handshake,
)
