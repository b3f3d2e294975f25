"""Hooks: a real command, and a real server on loopback."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reco_batch.monitoring.failure_hook import HookFailed, notify
from reco_batch.settings.fields import NotifyKeys

TOLD = {"what": "refused", "reason": "churn is 0.9; 日本 'x' $(id)", "exit_code": 6, "served": None}


class Answer(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers as the path says."""

    def do_POST(self):
        """Answer with the code in the path; `/slow` waits until the test is over."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.headers["Content-Type"], body))
        if self.path == "/slow":
            self.server.over.wait()
        self.send_response(int(self.path.strip("/")) if self.path != "/slow" else 200)
        self.end_headers()

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def web():
    """A server of the web on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.posted, server.over = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def address(server, path):
    """Return the address of a path there."""
    return f"http://127.0.0.1:{server.server_port}/{path}"


def script(body):
    """Return a command that runs Python code."""
    return (sys.executable, "-c", f"import json, os, sys, time\n{body}")


def test_a_command_gets_the_object_and_the_environment(tmp_path):
    """The object on standard input, and each value as RECO_*; no shell looks at either."""
    out = tmp_path / "told.json"
    write = f"json.dump([json.load(sys.stdin), dict(os.environ)], open({str(out)!r}, 'w'))"

    notify(NotifyKeys(command=script(write)), TOLD)

    told, environment = json.loads(out.read_text())
    assert told == {"schema": 1, **TOLD}
    assert environment["RECO_REASON"] == TOLD["reason"]
    assert (environment["RECO_EXIT_CODE"], environment["RECO_SERVED"]) == ("6", "")
    assert environment["PATH"] == os.environ["PATH"]


def test_words_are_passed_as_they_are(tmp_path):
    """What a shell would take for a command is a word."""
    out = tmp_path / "words"
    write = f"open({str(out)!r}, 'w').write(repr(sys.argv[1:]))"

    notify(NotifyKeys(command=(*script(write), "$(id)", "; rm x", "a b")), TOLD)

    assert out.read_text() == repr(["$(id)", "; rm x", "a b"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (script("sys.exit('no mail today')"), r"ended with 1: no mail today$"),
        (("/no/such/program",), r"/no/such/program could not be run \(No such file"),
        (("a\0b",), "could not be run"),
        (script("time.sleep(600)"), r"did not end within 0.2 s and was stopped$"),
        (script("sys.stdin.close(); os.close(0); sys.exit(3)"), r"ended with 3$"),
    ],
)
def test_a_command_that_fails_says_how(command, message):
    """And is over when this is said."""
    with pytest.raises(HookFailed, match=message):
        notify(
            NotifyKeys(command=command, timeout_seconds=0.2 if "600" in command[-1] else 30), TOLD
        )


def test_an_address_gets_the_object(web):
    """As JSON, once."""
    notify(NotifyKeys(url=address(web, "204")), TOLD)

    ((kind, body),) = web.posted
    assert kind == "application/json"
    assert json.loads(body) == {"schema": 1, **TOLD}


@pytest.mark.parametrize(
    ("path", "message"), [("500", "answered 500$"), ("slow", "did not answer within 0.2 s$")]
)
def test_an_address_that_fails_says_how(web, path, message):
    """Its path, which may be all that protects it, is not said."""
    with pytest.raises(HookFailed, match=message) as failed:
        notify(
            NotifyKeys(url=address(web, path), timeout_seconds=0.2 if path == "slow" else 30), TOLD
        )

    assert path not in str(failed.value).replace(message.rstrip("$"), "")


def test_nobody_at_the_address_is_said():
    """A port that nobody listens on."""
    with pytest.raises(HookFailed, match=r"was not reached \(.*refused"):
        notify(NotifyKeys(url="http://127.0.0.1:1/x"), TOLD)


def test_no_hook_is_no_hook():
    """Nothing to call, nothing called."""
    notify(NotifyKeys(), TOLD)
