"""Connection to a Ray cluster: a running one, or one that this process starts and stops.

A cluster of this process runs on this machine alone and cannot be reached from other machines.
"""

import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

from reco_batch import signals
from reco_batch.data.fingerprint import differences
from reco_batch.errors import NightFailed
from reco_store.errors import NotInstalled, UsageError

_KNOCK_SECONDS: Final = 5.0

#: Environment of a Ray cluster of this process, set before the import. The first variable makes it
#: listen on the loopback interface only, on every system.
_OF_OUR_OWN: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",  # other users of this machine must not run code in it
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
}


class Purpose(NamedTuple):
    """Use of a Ray cluster, for its errors."""

    option: str
    """Command-line option that requires Ray."""
    goes_on: str
    """Next step after a failure of Ray, a sentence."""


SCORING: Final = Purpose(
    "--engine ray", "To continue: `batch run --resume`, also with --engine local."
)


@contextmanager
def open_cluster(
    address: str | None, *, workers: int, purpose: Purpose = SCORING
) -> Iterator["RayCluster"]:
    """Check that Ray is available and yield a connection to it, for a `with` block.

    Args:
        address: HOST:PORT of a cluster that this machine is part of, or `auto`; None starts a
            cluster on this machine.
        workers: number of workers of a cluster on this machine.
        purpose: use of the cluster, for errors.

    Raises:
        UsageError: the address is invalid.
        NotInstalled: Ray is not installed.
        NightFailed: no Ray cluster answers at the address.
    """
    # Ray never deletes the logs of its sessions; they are next to sockets with a short path.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"  # the first one is raised
        os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or a late call would start another Ray
        options: dict[str, Any] = {"address": address}
        if address is None:
            os.environ.update(_OF_OUR_OWN, RAY_AUTH_TOKEN=_auth_token())
            options = {"address": "local", "num_cpus": workers, "_temp_dir": folder}
            options["include_dashboard"] = False
        elif address != "auto":
            _knock(address)
        cluster = RayCluster(_ray(purpose.option), options, purpose)
        try:
            # Ray prints events of its workers to standard output, among the command's results.
            with redirect_stdout(sys.stderr):
                yield cluster
        finally:
            cluster.close()


class RayCluster:
    """Connection to a Ray cluster, made at its first use.

    A cluster that stops also ends the processes connected to it, so hours of training run before
    the connection is made.
    """

    def __init__(self, ray: ModuleType, options: Mapping[str, Any], purpose: Purpose) -> None:
        """Keep the arguments; the connection is made later.

        Args:
            ray: the module.
            options: options of `ray.init`.
            purpose: use of the cluster, for errors.
        """
        self._ray, self._options, self._purpose = ray, options, purpose
        self._connecting = threading.Lock()
        self._closed = False

    def connected(self) -> ModuleType:
        """Return the module, connected.

        Raises:
            NightFailed: no Ray cluster answers at the address, or the connection was closed.
        """
        with self._connecting:
            if self._closed:  # a thread of a failed stage, which still asks for its lists
                raise self._not_going_on(RuntimeError("the run has ended"))
            if not self._ray.is_initialized():
                try:
                    with signals.kept():  # Ray would end the process silently
                        self._ray.init(
                            log_to_driver=False,  # standard error is for one line a stage
                            logging_level=logging.ERROR,
                            **self._options,
                        )
                except Exception as error:  # a bare one, if its processes do not start in time
                    raise self._not_going_on(error) from error
        return self._ray

    def close(self) -> None:
        """Disconnect, and end a cluster of this process; later uses fail."""
        with self._connecting:
            self._closed = True
            self._ray.shutdown()

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Re-raise errors of a task unchanged, and errors of Ray as NightFailed.

        Raises:
            NightFailed: Ray failed.
        """
        errors = self._ray.exceptions
        try:
            yield
        except errors.RayTaskError as error:
            raise error.cause from error
        except (errors.RayError, OSError) as error:
            raise self._not_going_on(error) from error

    def _not_going_on(self, error: Exception) -> NightFailed:
        first = str(error).strip().partition("\n")[0]
        return NightFailed(
            f"Ray failed ({type(error).__name__}: {first}). Check that its machines run; "
            f"{self._purpose.goes_on}"
        )


def see_same(expected: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Check in a worker that its machine has the program and packages of the run.

    Args:
        expected: facts of `fingerprint.program` on the machine of the run.
        own: the same facts on this machine.

    Raises:
        NightFailed: some facts differ.
    """
    if differ := differences(expected, own):
        raise NightFailed(
            f"the Ray worker on {socket.gethostname()} differs: {'; '.join(differ)}. "
            "Install the same version from the same constraints.txt on every machine."
        )


@cache
def _auth_token() -> str:
    """Return the secret of this process's clusters: Ray reads it from the environment only once."""
    return secrets.token_hex(32)


def _ray(option: str) -> ModuleType:
    try:
        return import_module("ray")  # an optional extra, and a second to import
    except ModuleNotFoundError as error:
        raise NotInstalled(option, "ray") from error


def _knock(address: str) -> None:
    """Check that something listens: Ray would try for minutes, and then end the process."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(
            f"--ray-address {address!r}: expected HOST:PORT of a Ray cluster, or auto for the one "
            "that runs on this machine"
        )
    try:
        socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()
    except OSError as error:
        raise NightFailed(
            f"no Ray answers at {address} ({error}). Start it (`ray start --head`), or leave "
            "--ray-address out."
        ) from error
