"""Runs `batch` again and again, each time as a process of its own, importing its packages once.

A program, not a module: reads one JSON object a line (words, environment, file of standard output,
file of standard error), forks, and answers with the exit code, negative for a signal. TensorFlow
is not to be found, so a run whose input is good ends where it would train: what is refused must be
refused before that.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import reco_batch
import reco_batch.commands.run_commands


class WithoutTensorFlow:
    """Finds no TensorFlow, as if it were not installed."""

    @staticmethod
    def find_spec(name, *_) -> None:
        """Refuse one name and leave all others to the finders that follow."""
        if name == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main() -> None:
    """Serve until standard input ends."""
    sys.meta_path.insert(0, WithoutTensorFlow)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(run(**request))
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def run(words, environment, out, err) -> int:
    """Be the command, and return its exit code."""
    for descriptor, name in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(name, os.O_RDWR), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(Path(sys.executable).with_name("batch")), *words]
    try:
        reco_batch.main()
    except SystemExit as end:
        return end.code or 0
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


main()
