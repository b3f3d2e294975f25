"""Failure hooks: real commands, and a real HTTP server on loopback."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reco_batch.monitoring.failure_hook import HookFailed, notify
from reco_batch.settings.all_settings import NotifyKeys

EVENT = {
    "what": "refused",
    "reason": "churn is 0.9; 日本 'x' $(id)",
    "exit_code": 6,
    "served": None,
}


class Answer(BaseHTTPRequestHandler):
    """Handler that keeps posted objects, and answers with the code in the path."""

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
    """Return an HTTP server on loopback."""
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
    """The object on standard input, and each field as RECO_*, without a shell."""
    out = tmp_path / "event.json"
    write = f"json.dump([json.load(sys.stdin), dict(os.environ)], open({str(out)!r}, 'w'))"

    notify(NotifyKeys(command=script(write)), EVENT)

    event, environment = json.loads(out.read_text())
    assert event == {"schema": 1, **EVENT}
    assert environment["RECO_REASON"] == EVENT["reason"]
    assert (environment["RECO_EXIT_CODE"], environment["RECO_SERVED"]) == ("6", "")
    assert environment["PATH"] == os.environ["PATH"]


def test_words_are_passed_as_they_are(tmp_path):
    """Characters that a shell would interpret are passed unchanged."""
    out = tmp_path / "words"
    write = f"open({str(out)!r}, 'w').write(repr(sys.argv[1:]))"

    notify(NotifyKeys(command=(*script(write), "$(id)", "; rm x", "a b")), EVENT)

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
def test_the_error_of_a_command_contains_the_cause(command, message):
    """The command has ended by then."""
    with pytest.raises(HookFailed, match=message):
        notify(
            NotifyKeys(command=command, timeout_seconds=0.2 if "600" in command[-1] else 30), EVENT
        )


def test_a_url_receives_the_object(web):
    """As JSON, once."""
    notify(NotifyKeys(url=address(web, "204")), EVENT)

    ((kind, body),) = web.posted
    assert kind == "application/json"
    assert json.loads(body) == {"schema": 1, **EVENT}


@pytest.mark.parametrize(
    ("path", "message"), [("500", "answered 500$"), ("slow", "did not answer within 0.2 s$")]
)
def test_the_error_of_a_url_contains_the_cause(web, path, message):
    """The path, which may be a secret, is not in the message."""
    with pytest.raises(HookFailed, match=message) as failed:
        notify(
            NotifyKeys(url=address(web, path), timeout_seconds=0.2 if path == "slow" else 30), EVENT
        )

    assert path not in str(failed.value).replace(message.rstrip("$"), "")


def test_an_unreachable_url_is_an_error():
    """No process listens on the port."""
    with pytest.raises(HookFailed, match=r"was not reached \(.*refused"):
        notify(NotifyKeys(url="http://127.0.0.1:1/x"), EVENT)


def test_a_failing_command_does_not_suppress_the_url(web):
    """The URL is the second way to reach the operator."""
    with pytest.raises(HookFailed, match=r"^the hook \S+ ended with 1: no mail today$"):
        notify(
            NotifyKeys(command=script("sys.exit('no mail today')"), url=address(web, "204")), EVENT
        )

    assert len(web.posted) == 1


def test_both_failures_are_reported(web):
    """One message contains the cause of each."""
    with pytest.raises(HookFailed, match=r"ended with 3; the hook's URL answered 500$"):
        notify(NotifyKeys(command=script("sys.exit(3)"), url=address(web, "500")), EVENT)


def test_without_a_hook_nothing_is_called():
    """Settings without a command and a URL."""
    notify(NotifyKeys(), EVENT)
