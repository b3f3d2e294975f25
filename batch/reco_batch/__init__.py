"""The nightly job: reads ratings, trains models, and publishes all lists as one generation.

Importing this package loads nothing heavy. Three places to start reading: `commands.app` defines
the commands, `night.order` lists the stages of a run in their order, and `errors` and `files`, next
to this module, are shared by all rooms.
"""

from reco_store.errors import NotInstalled


def main() -> None:
    """Run the `batch` command; report missing packages."""
    from reco_batch import signals  # noqa: PLC0415
    from reco_terminal.console import guard, open_streams  # noqa: PLC0415

    open_streams()
    signals.handle_signals()
    with guard():
        try:
            from reco_batch.commands.app import app  # noqa: PLC0415

            app(prog_name="batch")
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing.startswith("reco_"):
                raise
            raise NotInstalled(f"the batch command ({missing})", "batch") from error
