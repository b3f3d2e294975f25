"""`reco browse` as a process: address, ports, warnings, and how it ends."""

import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

from reco_cli.browse.serving import DEFAULT_PORT, _listening, is_loopback


@pytest.fixture
def browse(environment, own_home):
    """Start `reco browse`; it must end within the block."""

    @contextmanager
    def start(*words):
        with subprocess.Popen(
            [sys.executable, "-m", "reco_cli", "browse", "--home", str(own_home), *words],
            env={**environment, "REDIS_URL": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_cleanly(browse, number):
    """The page can be read at once; Ctrl-C and SIGTERM end with 0 and without a message."""
    with browse("--port", "0") as process:
        line = process.stdout.readline()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)   Ctrl-C ends\n", line)
        with urlopen(found[1], timeout=30) as page:  # noqa: S310  our own
            assert "Experiment" in page.read().decode()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")


def test_taken_port(browse):
    """A named port that is taken is an error; without a name a free one is used."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with browse("--port", str(port)) as process:
            _, err = process.communicate(timeout=30)
            assert process.returncode == 2
            assert err.startswith(
                f"error: cannot listen on 127.0.0.1, port {port}: Address already"
            )
    with browse() as first, browse() as second:
        ports = [int(re.search(r":(\d+)/", p.stdout.readline())[1]) for p in (first, second)]
        assert ports[0] != ports[1]
        assert DEFAULT_PORT in ports or ports[0] > 0


@pytest.mark.parametrize("words", [("--port", "65536"), ("--host", "no.such.host.invalid")])
def test_impossible_address(browse, words):
    """One line with what was expected."""
    with browse(*words) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(
        r"error: (--port 65536|cannot listen on no\.such\..*): .*expected .*\n", err
    )


def test_other_machines_cause_a_warning(browse):
    """Any host but the loopback ones."""
    with browse("--host", "0.0.0.0", "--port", "0") as process:  # noqa: S104  the warning
        assert process.stdout.readline().startswith("http://0.0.0.0:")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert re.fullmatch(r"warning: everyone who reaches 0\.0\.0\.0:\d+ can read all .*\n", err)


def test_answers_are_sent_at_once():
    """Accepted connections do not wait for the acknowledgement of the headers."""
    with (
        _listening("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host, expected):
    """Only addresses that no other machine can reach."""
    assert is_loopback(host) is expected


def test_missing_packages_are_named(reco, without):
    """Without the extra, one line names it."""
    ended = reco("browse", python=without("uvicorn"))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: `reco browse` needs packages that are not installed. "
        "In the folder of reco's source: pip install '.[browse]'\n"
    )
