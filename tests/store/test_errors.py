"""Errors: messages, attributes and pickling."""

from __future__ import annotations

import pickle

import pytest

from reco_store import errors

EXAMPLES = {
    errors.UsageError: (("n 0: expected 1 or more",), 2, ["n 0"]),
    errors.NotInstalled: (("the embedded store", "embedded"), 2, ["pip install '.[embedded]'"]),
    errors.UnknownGeneration: (("g9", "is retired", ("g2", "g1")), 2, ["g9", "g2, g1"]),
    errors.StoreUnreachable: (("redis://h:1", "refused"), 3, ["redis://h:1", "refused"]),
    errors.StoreNotReady: (("redis://h:1", "loading"), 3, ["redis://h:1", "loading", "Try again"]),
    errors.StoreUnfit: (("full", "Raise it.", 3_000_000, 1_500_000), 3, ["3.0 MB", "1.5 MB"]),
    errors.NothingPublished: (("reco",), 5, ["'reco'", "batch run"]),
    errors.ContractMismatch: (("schema 2", "schema 1", "Upgrade."), 5, ["schema 2", "Upgrade"]),
    errors.DataLost: (("g1", "its manifest"), 5, ["its manifest", "g1", "batch republish latest"]),
    errors.VerifyFailed: (("g1", "the key is missing", "user:1"), 5, ["g1", "user:1"]),
    errors.Held: (
        ("g1", "2026-11-25T00:00:00+00:00", "bad night"),
        6,
        ["bad night", "`batch release`, then `batch republish g1`"],
    ),
    errors.LockHeld: (("host:1:ab", 41.6), 75, ["host:1:ab", "42 s"]),
    errors.Fenced: (("host:2:cd",), 75, ["host:2:cd"]),
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_message_and_exit_code(kind):
    """The message contains the facts, and the exit code is documented."""
    arguments, code, parts = EXAMPLES[kind]
    error = kind(*arguments)

    assert error.exit_code == code
    assert all(part in str(error) for part in parts), str(error)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_pickling_keeps_everything(kind):
    """An error that crosses a process boundary is the same error with the same facts."""
    error = kind(*EXAMPLES[kind][0])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes

    assert type(copy) is kind
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_error_has_an_example():
    """An error that is added is tested too; all of them share one base."""
    defined = {getattr(errors, name) for name in errors.__all__}

    assert defined - {errors.RecoError, errors.StoreError} == set(EXAMPLES)
    assert all(issubclass(kind, errors.RecoError) for kind in defined)


def test_reason_that_ends_in_a_full_stop_gets_no_second():
    """The client library's own sentence is taken into ours whole."""
    error = errors.StoreUnreachable(
        "redis://h:1", "Error 111 connecting to h:1. Connection refused."
    )
    assert "refused. Check" in str(error)
