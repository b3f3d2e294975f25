"""`reco`: commands that read published recommendations.

The commands are in `app`. This module only starts them, so that an installation without the `cli`
extra names the missing packages instead of showing a traceback.
"""

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run the `reco` command line.

    Raises:
        SystemExit: always, with one of the documented exit codes.
    """
    # A command ends before there is garbage: collections during the imports, and of everything that
    # is left at the end, would take a third of its time. `browse`, which lives on, enables them.
    gc.disable()
    try:
        import typer  # noqa: F401, PLC0415 - checked here, to name the extra that installs it
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.stderr.write(
            "error: the reco command needs packages that are not installed. "
            "In the folder of reco's source: pip install '.[cli]'\n"
        )
        raise SystemExit(2) from error

    from reco_cli.app import app  # noqa: PLC0415 - it needs typer
    from reco_terminal.console import guard, open_streams  # noqa: PLC0415 - as above

    open_streams()
    try:
        with guard():  # for the help, too
            app(prog_name="reco")
    finally:
        gc.freeze()
