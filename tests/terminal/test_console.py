"""Console: exit codes, one line per error, and no control characters from data."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_store.errors import LockHeld, UsageError
from reco_terminal.console import guard, printable
from terminals import read_all


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Amélie 🎬 七人の侍", "Amélie 🎬 七人の侍"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nb\tc\0", "a\\nb\\tc\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\x9b31m", "\\x9b31m"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    ],
)
def test_unsafe_characters_are_spelled_out(text, shown):
    """Characters that would move the cursor or reverse a line are printed as escapes."""
    assert printable(text) == shown


@given(st.text())
def test_printable_text_has_no_control_characters(text):
    """Printable text contains no control characters, whatever a title contains."""
    shown = printable(text)

    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e" for c in shown)
    assert printable(shown) == shown


def test_error_is_one_line_and_its_own_code(capsys):
    """An expected error is one line on standard error, whatever it contains."""
    with pytest.raises(SystemExit) as end, guard():
        raise UsageError("title 'a\nb\x1b'")

    assert end.value.code == 2
    assert capsys.readouterr().err == "error: title 'a\\nb\\x1b'\n"


ENDS_IN_AN_ERROR = """
import sys
from reco_terminal.console import guard
from reco_store.errors import UsageError
with guard():
    raise UsageError(sys.argv[1])
"""


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (0, 80)])  # 0: never set
def test_on_a_terminal_an_error_breaks_at_blanks_only(columns, widest):
    """Errors wrap at blanks only, so no word, path or id is cut; wide terminals show one line."""
    path = "/srv/" + "very-long-folder/" * 6 + "report.html"
    text = f"the gate refused generation 20261129T190038Z-29c7: look at {path} and run it again"
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (50, columns))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-c", ENDS_IN_AN_ERROR, text]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its, env=environment):
        os.close(its)
        shown = read_all(mine).decode().replace("\r\n", "\n")
    os.close(mine)

    lines = shown.splitlines()
    assert shown.split() == ["error:", *text.split()]
    assert path in lines
    assert max(len(line) for line in lines if line != path) <= widest
    assert len(lines) > 2


def test_exit_code_of_the_error(capsys):
    """Exit codes depend on the error, so that cron can distinguish a held lock from a failure."""
    with pytest.raises(SystemExit) as end, guard():
        raise LockHeld("host", 3.0)

    assert end.value.code == 75


def test_interrupt(capsys):
    """Ctrl-C exits with 130 and without a traceback."""
    with pytest.raises(SystemExit) as end, guard():
        raise KeyboardInterrupt

    assert end.value.code == 130


@pytest.mark.parametrize(
    ("notes", "line"),
    [
        ([], "interrupted; run it again. Readers see what they saw before."),
        (["Still served: x."], "interrupted; run it again. Still served: x."),
        (
            ["To continue X: `batch run --resume`."],
            "interrupted. To continue X: `batch run --resume`.",
        ),
    ],
)
def test_interrupt_names_one_next_step(capsys, notes, line):
    """A note that names a command replaces the general advice."""
    error = KeyboardInterrupt()
    for note in notes:
        error.add_note(note)

    with pytest.raises(SystemExit), guard():
        raise error

    assert capsys.readouterr().err == f"error: {line}\n"


def test_bug_keeps_its_traceback():
    """Unexpected errors keep their traceback."""
    with pytest.raises(ZeroDivisionError), guard():
        _ = 1 / 0


def test_no_error_is_no_exit():
    """A successful command continues."""
    with guard():
        pass


def test_closed_pipe_is_quiet():
    """A closed pipe (`| head`) ends the command silently."""
    code = (
        "from reco_terminal.console import guard\n"
        "with guard():\n    for _ in range(100000):\n        print('x' * 100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == b""
    assert process.returncode == 141
