"""The commands of `batch` that show and change what the store serves. See `app`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from reco_batch.artifact.quarantine import Kept, kept, lift, marks, remember
from reco_batch.commands import messages
from reco_batch.commands.experiments import change_experiment
from reco_batch.commands.help import PlainCommand, PlainGroup
from reco_batch.commands.hiding import titles_of
from reco_batch.commands.options import MovieIds
from reco_batch.commands.setting_options import takes
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_batch.progress.terminal import fit_to_terminal
from reco_batch.settings.option import Panel
from reco_batch.settings.precedence import Told
from reco_batch.settings.target import Target
from reco_store import NothingPublished, UsageError
from reco_store.connection.client import Client
from reco_store.control.hide_list import hidden, hide, unhide
from reco_store.publishing.generations import list_generations, release, rollback

store_commands = typer.Typer()
store_app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, help="The embedded store, used without a Redis."
)


@store_commands.command(cls=PlainCommand)
@takes(Panel.STORE)
def generations(told: Told) -> None:
    """List the generations that the store knows and those that are on disk, newest first.

    States: live (readers see it), ready (complete in the store), staging (being written, or left by
    a run that died), refused (by the gate), quarantined (rolled back from; published again only
    with --force), retired (deleted from the store), stored (on disk alone).
    """
    target = Target.told(told.settings)
    on_disk = _on_disk(target)
    try:
        records = list_generations(target.connect(), target.keys)
    except NothingPublished as error:  # the embedded store has nothing to serve
        if not on_disk:
            raise
        typer.echo(f"note: {error}", err=True)
        records = []
    typer.echo(messages.generation_table(records, on_disk, now=datetime.now(UTC)))


def _on_disk(target: Target) -> list[Kept]:
    """Return the artifacts on disk; none, with a warning, where this account may not look."""
    try:
        return [] if target.folder is None else kept(target.artifacts, target.namespace)
    except NightFailed as error:
        typer.echo(f"warning: only the store is shown: {error}", err=True)
        return []


@store_commands.command("rollback", cls=PlainCommand)
@takes(Panel.STORE)
def rollback_(
    told: Told,
    to: Annotated[
        str | None,
        typer.Argument(metavar="[GENERATION]", help="By default the one before the live one."),
    ] = None,
    *,
    reason: Annotated[
        str, typer.Option(metavar="WORDS", help="Why; it stays on record. [default: none]")
    ] = "",
    force: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            show_default=False,
            help="Undo a rollback: serve GENERATION although it was rolled back from. "
            "[default: none]",
        ),
    ] = None,
) -> None:
    """Serve an older generation again, at once.

    The generation rolled back from is not served again, unless a person undoes that with --force.
    The nights of the next 24 hours stage theirs and do not switch to it, unless `batch release`
    ends the hold.
    """
    if force is not None and not force.strip():
        raise UsageError("--force: expected a reason in words; it stays on record")
    target = Target.told(told.settings)
    client = target.connect()
    known = {} if target.folder is None else marks(target.artifacts)
    live = rollback(client, target.keys, to=to, reason=reason, force=force, marks=known)
    _mark_on_disk(target, client, undone=None if force is None else live)
    target.make_durable(client)
    typer.echo(fit_to_terminal(messages.rollback_message(live, undone=force is not None)))


def _mark_on_disk(target: Target, client: Client, *, undone: str | None) -> None:
    """Copy rollback marks from the store to the artifacts, if they are on this machine.

    Only an undone rollback removes a mark: the store may be from a backup that does not have it.
    """
    if target.folder is None:
        return
    try:
        if undone is not None:
            lift(target.artifacts / undone)
        remember(target.artifacts, list_generations(client, target.keys))
    except OSError as error:
        typer.echo(
            f"warning: the rollback is not marked on disk: {unreadable(error, target.artifacts)} "
            "If the store loses its data before the next run, the generation could be published "
            "again.",
            err=True,
        )


@store_commands.command("release", cls=PlainCommand)
@takes(Panel.STORE)
def release_(told: Told) -> None:
    """End the hold that a rollback put on, so that the next night may be served."""
    target = Target.told(told.settings)
    client = target.connect()
    was_held = release(client, target.keys)
    target.make_durable(client)
    typer.echo(fit_to_terminal(messages.release_message(was_held=was_held)))


@store_commands.command(cls=PlainCommand)
@takes(Panel.STORE)
def experiment(
    told: Told,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Draws who is in which arm.")
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMESPACE=SHARE...", help="Two or more, such as reco=90 other=10."),
    ] = None,
    *,
    end: Annotated[bool, typer.Option("--end", help="End the experiment. [default: no]")] = False,
) -> None:
    """Split users between namespaces, as `Reader.assign` tells; without a name, show the split."""
    target = Target.told(told.settings)
    client = target.connect()
    said = change_experiment(client, target.keys, name, arms or (), end=end)
    target.make_durable(client)
    typer.echo(fit_to_terminal(said))


@store_commands.command("hide", cls=PlainCommand)
@takes(Panel.STORE)
def hide_(told: Told, movies: MovieIds) -> None:
    """Hide movies from every list, at once and in all generations, until `batch unhide`."""
    target = Target.told(told.settings)
    client = target.connect()
    changed = hide(client, target.keys, movies)
    target.make_durable(client)
    typer.echo(
        fit_to_terminal(messages.hide_message(changed, titles_of(client, target.keys, movies)))
    )


@store_commands.command("unhide", cls=PlainCommand)
@takes(Panel.STORE)
def unhide_(told: Told, movies: MovieIds) -> None:
    """Show hidden movies again, at once."""
    target = Target.told(told.settings)
    client = target.connect()
    changed = unhide(client, target.keys, movies)
    target.make_durable(client)
    typer.echo(messages.unhide_message(changed, len(movies)))


@store_commands.command("hidden", cls=PlainCommand)
@takes(Panel.STORE)
def hidden_(told: Told) -> None:
    """List the movies that are hidden: id, tab, title."""
    target = Target.told(told.settings)
    client = target.connect()
    typer.echo(
        fit_to_terminal(
            messages.hidden_list(titles_of(client, target.keys, hidden(client, target.keys)))
        )
    )


@store_app.command("stop", cls=PlainCommand)
@takes("home")
def store_stop(told: Told) -> None:
    """Save the embedded store and end it; the next command starts it again."""
    from reco_store.connection.embedded.server import stop_server  # noqa: PLC0415

    typer.echo(messages.stop_message(was_running=stop_server(Target.told(told.settings).home)))
