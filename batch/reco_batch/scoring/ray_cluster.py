"""A Ray to work on: a cluster that runs already, or one of this process's own.

Without an address a Ray is started on this machine, reachable from nowhere else, and ended again.
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
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

from reco_batch import signals
from reco_batch.data.fingerprint import differences
from reco_batch.errors import NightFailed
from reco_store.errors import NotInstalled, UsageError

_KNOCK_SECONDS: Final = 5.0

#: What a Ray of our own is told before it is imported. The first makes it listen on the loopback
#: alone, whatever its name says of other systems; without it, it listens on every interface.
_OF_OUR_OWN: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",  # other users of this machine may not run code in it either
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
}


class Purpose(NamedTuple):
    """What a Ray is wanted for, as its errors say it."""

    option: str
    """That asks for it."""
    goes_on: str
    """What to do when Ray failed, a sentence."""


SCORING: Final = Purpose("--engine ray", "`batch run --resume` goes on, also with --engine local.")


@contextmanager
def open_cluster(
    address: str | None, *, workers: int, purpose: Purpose = SCORING
) -> Iterator["RayCluster"]:
    """Look whether Ray is there, and return what connects to it; at the end, part from it.

    Args:
        address: HOST:PORT of a cluster that this machine is part of, or `auto`; None starts a Ray
            of this process's own.
        workers: of that own Ray.
        purpose: what it is wanted for.

    Raises:
        UsageError: that cannot be an address.
        NotInstalled: Ray is missing.
        NightFailed: no Ray answers there.
    """
    # Ray keeps the logs of its own sessions for ever, beside sockets whose path must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"  # the first one is raised, and tells all
        options: dict[str, Any] = {"address": address}
        if address is None:
            os.environ.update(_OF_OUR_OWN, RAY_AUTH_TOKEN=secrets.token_hex(32))
            options = {"address": "local", "num_cpus": workers, "_temp_dir": folder}
            options["include_dashboard"] = False
        elif address != "auto":
            _knock(address)
        ray = _ray(purpose.option)
        try:
            # Ray prints there what befalls its workers, between the results of the command.
            with redirect_stdout(sys.stderr):
                yield RayCluster(ray, options, purpose)
        finally:
            ray.shutdown()


class RayCluster:
    """Connects when it is first needed.

    Not before, since a cluster that goes away takes the processes connected to it along, and hours
    of training may come first.
    """

    def __init__(self, ray: ModuleType, options: Mapping[str, Any], purpose: Purpose) -> None:
        """Connect to nothing yet.

        Args:
            ray: the module.
            options: of `ray.init`.
            purpose: what it is wanted for.
        """
        self._ray, self._options, self._purpose = ray, options, purpose
        self._connecting = threading.Lock()

    def connected(self) -> ModuleType:
        """Return the module, connected.

        Raises:
            NightFailed: no Ray answers there.
        """
        with self._connecting:
            if not self._ray.is_initialized():
                try:
                    with signals.kept():  # Ray would end the process without a word
                        self._ray.init(
                            log_to_driver=False,  # standard error is for one line a stage
                            logging_level=logging.ERROR,
                            **self._options,
                        )
                except Exception as error:  # a bare one, if its processes do not start in time
                    raise self._not_going_on(error) from error
        return self._ray

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raise what a task raised as it is, and as NightFailed what happened to Ray.

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
            f"Ray could not go on ({type(error).__name__}: {first}). See that its machines run; "
            f"{self._purpose.goes_on}"
        )


def see_same(expected: Mapping[str, str], own: Mapping[str, str]) -> None:
    """See in a worker that its machine computes as whoever asks does.

    Args:
        expected: facts of `fingerprint` there.
        own: the same ones here.

    Raises:
        NightFailed: some differ.
    """
    if differ := differences(expected, own):
        raise NightFailed(
            f"the Ray worker on {socket.gethostname()} is another one: {'; '.join(differ)}. "
            "Install the same version from the same constraints.txt on every machine."
        )


def _ray(option: str) -> ModuleType:
    try:
        return import_module("ray")  # an optional extra, and a second to import
    except ModuleNotFoundError as error:
        raise NotInstalled(option, "ray") from error


def _knock(address: str) -> None:
    """See that something listens: Ray itself tries for minutes, and then ends the process."""
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
