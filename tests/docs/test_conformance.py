"""The conformance kit and the examples of docs/keys.md, on real clients and servers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reco_store.connection.connect import connect
from reco_store.contract.keys import Keys
from reco_store.control.hide_list import hide
from reco_store.control.lock import RunLock
from reco_store.publishing.publisher import publish
from small_generations import small_entries

DOCS = Path(__file__).parents[2] / "docs"
NODE = DOCS / "examples" / "node"
PYTHON_CLIENT = [sys.executable, str(DOCS / "examples" / "python" / "conformance.py")]
NODE_CLIENT = ["node", str(NODE / "conformance.mjs")]
VECTORS = sorted(path.stem for path in (DOCS / "conformance" / "vectors").glob("*.json"))


def need(program: str, *, packages: Path | None = None) -> None:
    """Skip a test whose program or packages are missing, or fail it in CI."""
    missing = [program] if shutil.which(program) is None else []
    if packages is not None and not packages.is_dir():
        missing.append(f"{packages} (npm ci --prefix docs/examples/node)")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not installed: {missing}")


def check(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the checker."""
    program = [sys.executable, str(DOCS / "conformance" / "check.py"), "--redis-url", url]
    return subprocess.run(
        [*program, *words], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_client_conforms(server, client, language):
    """The Python reader and the Node example pass every vector, and no key is left behind."""
    if language == "node":
        need("node", packages=NODE / "node_modules")
    done = check(server.url, *(PYTHON_CLIENT if language == "python" else NODE_CLIENT))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"passed {name}" for name in VECTORS]
    assert not list(client.scan_iter("*conformance-*"))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("print('{}')", "answer.items: missing"),
        ('print(\'{"generation":"x","items":[]}\')', "expected"),
        ("break", "the client ended without an answer"),
    ],
)
def test_checker_fails_every_vector_of_a_wrong_client(server, broken, reason):
    """A client with wrong or no answers fails every vector, with a reason."""
    program = f"import sys\nfor line in sys.stdin:\n    {broken}\n    sys.stdout.flush()"
    done = check(server.url, sys.executable, "-c", program)
    assert done.returncode == 1
    assert done.stdout.count("failed ") == len(VECTORS)
    assert reason in done.stdout


def test_filters_are_a_level_of_their_own(server):
    """A client without filters can be checked for lists alone."""
    done = check(server.url, "--level", "core", *PYTHON_CLIENT)
    assert done.returncode == 0
    assert "hidden" not in done.stdout


@pytest.fixture
def example_server(make_server, make_source):
    """Yield a server with a list of user 42 and a hidden movie in the namespace reco."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = make_server("--bind", "127.0.0.1", "--port", str(port))
    first = dict(small_entries())
    own = [(f"{family}:42", first[f"{family}:1"]) for family in ("user", "seen")]
    entries = [*own, *small_entries()]
    keys = Keys("reco")
    with connect(started.url) as client, RunLock(client, keys, heartbeat=False) as lock:
        publish(client, keys, make_source(entries=entries), lock=lock)
        hide(client, keys, ["5"])
    return port


PROGRAMS = {
    "sh": ["bash", "-euc"],
    "python": [sys.executable, "-c"],
    "js": ["node", "--input-type=module", "--eval"],
}


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_examples_run(example_server, language):
    """The blocks of docs/keys.md print the list of user 42 without hidden movies."""
    page = (DOCS / "keys.md").read_text("utf-8")
    section = page[page.index("## Examples") : page.index("## A client of your own")]
    (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    if language == "js":
        need("node", packages=NODE / "node_modules")
    if language == "sh":
        need("redis-cli")
        block = block.replace("redis-cli", f"redis-cli -p {example_server}")
    done = subprocess.run(
        [*PROGRAMS[language], block],
        cwd=NODE,
        env={**os.environ, "REDIS_URL": f"redis://127.0.0.1:{example_server}/0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = '{"i":[3,5,1],"s":[5.0,4.0,3.0]}' if language == "sh" else "3 1 6"
    assert done.stdout.splitlines()[0] == expected
