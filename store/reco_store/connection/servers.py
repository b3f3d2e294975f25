"""Servers behind a client: their names, run ids, memory and fitness.

A single server and the primaries of a Redis Cluster are treated alike. All facts come from INFO,
never from CONFIG, which needs further rights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from redis import RedisCluster

from reco_store.connection.client import Client, label_of
from reco_store.connection.scripts import with_retries
from reco_store.errors import StoreUnfit

if TYPE_CHECKING:
    from redis.cluster import ClusterNode

__all__ = ["Server", "Servers", "look_at_servers", "require_fit", "runs_scripts_when_full"]

OLDEST_VERSION: Final = (6, 2)
SCRIPTS_WHEN_FULL_VERSION: Final = (7, 0)
#: The only policies under which no key without a TTL is evicted, and only the run lock has one.
SAFE_POLICIES: Final = (
    "noeviction",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)


class Server(NamedTuple):
    """Facts about one server, from its INFO."""

    name: str
    """Printable name, host:port."""
    run_id: str
    """Random id, new at every start."""
    version: tuple[int, int]
    policy: str
    """Its maxmemory-policy."""
    allocator: str
    used_bytes: int
    limit_bytes: int
    """Its maxmemory in bytes or, without a limit, the memory of the machine."""
    keys: int

    @property
    def free_bytes(self) -> int:
        """Memory left before the server refuses writes, in bytes."""
        return max(0, self.limit_bytes - self.used_bytes)


class Servers(NamedTuple):
    """All servers with data of the store."""

    nodes: tuple[Server, ...]

    @property
    def run_ids(self) -> tuple[tuple[str, str], ...]:
        """Name and run id of each server; any restart, failover or resharding changes them."""
        return tuple(sorted((node.name, node.run_id) for node in self.nodes))


def look_at_servers(client: Client) -> Servers:
    """Return facts about every server with data of the store.

    Raises:
        redis.RedisError: a server does not answer.
    """
    if isinstance(client, RedisCluster):
        # The client notices a failover only when a command fails, so read the topology again.
        with_retries(client.nodes_manager.initialize)
        return Servers(tuple(_look(client, node.name, node) for node in _primaries(client)))
    return Servers((_look(client, label_of(client), None),))


def control_run_id(client: Client, servers: Servers, key: str) -> str | None:
    """Return the run id of the server with a control key; None if it is not among `servers`."""
    if isinstance(client, RedisCluster):
        node = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        name = getattr(node, "name", "")
        return next((server.run_id for server in servers.nodes if server.name == name), None)
    return servers.nodes[0].run_id


def runs_scripts_when_full(client: Client) -> bool:
    """Return whether the servers support the script header that lets a full server run scripts.

    Raises:
        redis.RedisError: the server does not answer.
    """
    known = _KNOWS_HEADER.get(client)
    if known is None:
        node = _primaries(client)[0] if isinstance(client, RedisCluster) else None
        known = _version(_info(client, "server", node)) >= SCRIPTS_WHEN_FULL_VERSION
        _KNOWS_HEADER[client] = known
    return known


def require_fit(servers: Servers) -> None:
    """Refuse servers that would silently lose part of a generation.

    Raises:
        StoreUnfit: a server evicts keys, or is too old.
    """
    for server in servers.nodes:
        if server.version < OLDEST_VERSION:
            raise StoreUnfit(
                f"the server {server.name} is version {server.version[0]}.{server.version[1]}",
                "Redis 6.2 or later, or Valkey, is needed.",
            )
        if server.policy not in SAFE_POLICIES:
            raise StoreUnfit(
                f"the server {server.name} evicts keys when it is full "
                f"(maxmemory-policy {server.policy})",
                "Set maxmemory-policy noeviction, or one of volatile-*, which spare keys without "
                "a TTL: an evicted key is a hole in a generation.",
            )


_KNOWS_HEADER: WeakKeyDictionary[Client, bool] = WeakKeyDictionary()


def _primaries(client: RedisCluster) -> list[ClusterNode]:
    nodes: list[ClusterNode] = client.get_primaries()  # type: ignore[no-untyped-call]
    return nodes


def _info(client: Client, section: str, node: ClusterNode | None) -> dict[str, Any]:
    target = {} if node is None else {"target_nodes": node}

    def ask() -> dict[str, Any]:
        answer: dict[str, Any] = client.info(section, **target)
        return answer

    return with_retries(ask)


def _look(client: Client, name: str, node: ClusterNode | None) -> Server:
    sections = ("server", "memory", "keyspace")
    facts = {key: v for section in sections for key, v in _info(client, section, node).items()}
    databases = [db for db in facts.values() if isinstance(db, dict)]
    try:
        return Server(
            name=name,
            run_id=str(facts["run_id"]),
            version=_version(facts),
            policy=str(facts.get("maxmemory_policy", SAFE_POLICIES[0])),
            allocator=str(facts.get("mem_allocator", "")),
            used_bytes=int(facts["used_memory"]),
            limit_bytes=int(facts.get("maxmemory", 0)) or int(facts.get("total_system_memory", 0)),
            keys=sum(int(db.get("keys", 0)) for db in databases),
        )
    except (KeyError, ValueError) as error:
        raise _not_understood(name) from error


def _version(info: dict[str, Any]) -> tuple[int, int]:
    try:
        major, minor = str(info["redis_version"]).split(".")[:2]
        return int(major), int(minor)
    except (KeyError, ValueError) as error:
        raise _not_understood("of the store") from error


def _not_understood(name: str) -> StoreUnfit:
    return StoreUnfit(
        f"the INFO of the server {name} is not understood",
        "Run again; if that does not help, compare its INFO with that of Redis.",
    )
