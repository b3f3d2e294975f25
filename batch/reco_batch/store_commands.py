"""The commands of `batch` that show and change what the store serves. See `app`."""

from typing import Annotated

import typer

from reco_batch import pages
from reco_batch.experiments import change_experiment
from reco_batch.flags import takes
from reco_batch.help import PlainCommand, PlainGroup
from reco_batch.hiding import titles_of
from reco_batch.key import Panel
from reco_batch.layers import Told
from reco_batch.options import MovieIds, Target
from reco_batch.terminal import fitted
from reco_store.generations import list_generations, release, rollback
from reco_store.hiding import hidden, hide, unhide

store_commands = typer.Typer()
store_app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, help="The embedded store, used without a Redis."
)


@store_commands.command(cls=PlainCommand)
@takes(Panel.STORE)
def generations(told: Told) -> None:
    """List the generations that the store knows, newest first."""
    target = Target.told(told.settings)
    typer.echo(pages.generations(list_generations(target.connect(), target.keys)))


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
) -> None:
    """Serve an older generation again, at once.

    The generation rolled back from is never served again. The nights of the next 24 hours stage
    theirs and do not switch to it, unless `batch release` ends the hold.
    """
    target = Target.told(told.settings)
    client = target.connect()
    live = rollback(client, target.keys, to=to, reason=reason)
    target.make_durable(client)
    typer.echo(fitted(pages.rolled_back(live)))


@store_commands.command("release", cls=PlainCommand)
@takes(Panel.STORE)
def release_(told: Told) -> None:
    """End the hold that a rollback put on, so that the next night may be served."""
    target = Target.told(told.settings)
    client = target.connect()
    was_held = release(client, target.keys)
    target.make_durable(client)
    typer.echo(fitted(pages.released(was_held=was_held)))


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
    typer.echo(fitted(said))


@store_commands.command("hide", cls=PlainCommand)
@takes(Panel.STORE)
def hide_(told: Told, movies: MovieIds) -> None:
    """Hide movies from every list, at once and in all generations, until `batch unhide`."""
    target = Target.told(told.settings)
    client = target.connect()
    changed = hide(client, target.keys, movies)
    target.make_durable(client)
    typer.echo(fitted(pages.hid(changed, titles_of(client, target.keys, movies))))


@store_commands.command("unhide", cls=PlainCommand)
@takes(Panel.STORE)
def unhide_(told: Told, movies: MovieIds) -> None:
    """Show hidden movies again, at once."""
    target = Target.told(told.settings)
    client = target.connect()
    changed = unhide(client, target.keys, movies)
    target.make_durable(client)
    typer.echo(pages.unhid(changed, len(movies)))


@store_commands.command("hidden", cls=PlainCommand)
@takes(Panel.STORE)
def hidden_(told: Told) -> None:
    """List the movies that are hidden: id, tab, title."""
    target = Target.told(told.settings)
    client = target.connect()
    typer.echo(fitted(pages.hidden(titles_of(client, target.keys, hidden(client, target.keys)))))


@store_app.command("stop", cls=PlainCommand)
@takes("home")
def store_stop(told: Told) -> None:
    """Save the embedded store and end it; the next command starts it again."""
    from reco_store.embedded import stop_server  # noqa: PLC0415

    typer.echo(pages.stopped(was_running=stop_server(Target.told(told.settings).home)))
