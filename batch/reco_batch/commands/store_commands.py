"""Commands of `batch` that show and change what the store serves."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from reco_batch.artifact.quarantine import (
    StoredArtifact,
    copy_quarantines,
    lift_quarantine,
    list_artifacts,
    quarantine_notes,
)
from reco_batch.commands import messages
from reco_batch.commands.experiments import change_experiment, verdict_page
from reco_batch.commands.help import PlainCommand, PlainGroup
from reco_batch.commands.setting_options import takes
from reco_batch.errors import NightFailed
from reco_batch.files import unreadable
from reco_batch.progress.terminal import fit_to_terminal
from reco_batch.settings.precedence import ResolvedSettings
from reco_batch.settings.setting_metadata import Panel
from reco_batch.settings.target import Target
from reco_store import ContractMismatch, Keys, NothingPublished, Reader, RunLock, UsageError
from reco_store.connection.client import Client
from reco_store.contract.words import DEFAULT_WORDS, Words, words_of
from reco_store.control.hide_list import hidden, hide, unhide
from reco_store.publishing.generations import list_generations, release, rollback

MovieIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of movies.")]

store_commands = typer.Typer()
store_app = typer.Typer(cls=PlainGroup, no_args_is_help=True, help="Control the embedded store.")


@store_commands.command(cls=PlainCommand)
@takes(Panel.STORE)
def generations(resolved: ResolvedSettings) -> None:
    """List generations in the store and on disk, newest first.

    States: live (readers see it), ready (complete in the store), staging (being written, or left by
    a run that died), refused (by the gate), quarantined (withdrawn by a rollback; published again
    only with --force), retired (deleted from the store), stored (on disk only).
    """
    target = Target.from_settings(resolved.settings)
    on_disk = _on_disk(target)
    try:
        records = list_generations(target.connect(), target.keys)
    except NothingPublished as error:  # the embedded store has nothing to serve
        if not on_disk:
            raise
        typer.echo(f"note: {error}", err=True)
        records = []
    typer.echo(messages.generation_table(records, on_disk, now=datetime.now(UTC)))


def _on_disk(target: Target) -> list[StoredArtifact]:
    """Return the artifacts on disk; none, with a warning, if this account may not read them."""
    try:
        return [] if target.folder is None else list_artifacts(target.artifacts, target.namespace)
    except NightFailed as error:
        typer.echo(f"warning: only the store is shown: {error}", err=True)
        return []


@store_commands.command("rollback", cls=PlainCommand)
@takes(Panel.STORE)
def rollback_(
    resolved: ResolvedSettings,
    to: Annotated[
        str | None,
        typer.Argument(metavar="GENERATION", help="Generation to serve. [default: the one before]"),
    ] = None,
    *,
    reason: Annotated[
        str, typer.Option(metavar="WORDS", help="Reason, which is recorded. [default: none]")
    ] = "",
    force: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            show_default=False,
            help="Undo an earlier rollback and serve GENERATION again. [default: none]",
        ),
    ] = None,
) -> None:
    """Serve an older generation again, at once.

    The current generation is quarantined; serving it again needs --force. For 24 hours, runs stage
    their generation and do not switch to it, unless `batch release` ends this hold.
    """
    if force is not None and not force.strip():
        raise UsageError("--force: expected a reason in words; it stays on record")
    target = Target.from_settings(resolved.settings)
    client = target.connect()
    known = (
        {}
        if target.folder is None
        else quarantine_notes(target.artifacts, namespace=target.namespace)
    )
    live = rollback(client, target.keys, to=to, reason=reason, force=force, marks=known)
    _mark_on_disk(target, client, undone=None if force is None else live)
    target.make_durable(client)
    typer.echo(fit_to_terminal(messages.rollback_message(live, undone=force is not None)))


def _mark_on_disk(target: Target, client: Client, *, undone: str | None) -> None:
    """Copy rollback marks from the store to the artifacts, if they are on this machine.

    Only an undone rollback removes a mark: a store restored from a backup may lack it.
    """
    if target.folder is None:
        return
    try:
        if undone is not None:
            lift_quarantine(target.artifacts / undone, namespace=target.namespace)
        records = list_generations(client, target.keys)
        copy_quarantines(target.artifacts, records, namespace=target.namespace)
    except OSError as error:
        typer.echo(
            f"warning: the rollback is not marked on disk: {unreadable(error, target.artifacts)} "
            "If the store loses its data before the next run, the generation could be published "
            "again.",
            err=True,
        )


@store_commands.command("release", cls=PlainCommand)
@takes(Panel.STORE)
def release_(resolved: ResolvedSettings) -> None:
    """End the hold of a rollback: the next run may go live."""
    target = Target.from_settings(resolved.settings)
    client = target.connect()
    was_held = release(client, target.keys)
    target.make_durable(client)
    typer.echo(fit_to_terminal(messages.release_message(was_held=was_held)))


@store_commands.command(cls=PlainCommand)
@takes(Panel.STORE)
def experiment(
    resolved: ResolvedSettings,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Name of a new experiment; seeds the assignment of users."
        ),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMESPACE=SHARE...", help="Arms, such as reco=90 other=10."),
    ] = None,
    *,
    end: Annotated[bool, typer.Option("--end", help="End the experiment. [default: no]")] = False,
    verdict: Annotated[
        bool,
        typer.Option("--verdict", help="Show in which arm people did more. [default: no]"),
    ] = False,
    effect: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="With --verdict: difference to compute the needed users for."
        ),
    ] = 0.05,
    promote: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE",
            show_default=False,
            help="Serve this arm's live generation to all users; ends the experiment. "
            "[default: none]",
        ),
    ] = None,
) -> None:
    """Start, show, judge or end an A/B split of users.

    `Reader.assign` returns the namespace that serves a user. Without a name, shows the experiment.
    Each run of the namespace compares what people did in the arms since the start.
    """
    target = Target.from_settings(resolved.settings)
    if sum([name is not None, end, verdict, promote is not None]) > 1:
        raise UsageError("expected one of NAME, --end, --verdict and --promote")
    if promote is not None:
        from reco_batch.commands.run_commands import promote_arm_command  # noqa: PLC0415  # tables

        published, is_over = promote_arm_command(resolved.settings, target, promote)
        page = messages.arm_message(published, promote, target.namespace, is_over=is_over)
        typer.echo(fit_to_terminal(page))
        return
    client = target.connect()
    if verdict:
        typer.echo(fit_to_terminal(verdict_page(client, target.keys, effect=effect)))
        return
    page = change_experiment(client, target.keys, name, arms or (), end=end, now=datetime.now(UTC))
    target.make_durable(client)
    typer.echo(fit_to_terminal(page))


@store_commands.command("hide", cls=PlainCommand)
@takes(Panel.STORE)
def hide_(resolved: ResolvedSettings, movies: MovieIds) -> None:
    """Hide movies from every list, at once, until `batch unhide`.

    Hidden movies stay hidden in later generations.
    """
    target = Target.from_settings(resolved.settings)
    client = target.connect()
    changed = hide(client, target.keys, movies)
    target.make_durable(client)
    titles, words = _titles(client, target.keys, movies), _words(client, target.keys)
    typer.echo(fit_to_terminal(messages.hide_message(changed, titles, words)))


@store_commands.command("unhide", cls=PlainCommand)
@takes(Panel.STORE)
def unhide_(resolved: ResolvedSettings, movies: MovieIds) -> None:
    """Show hidden movies again, at once."""
    target = Target.from_settings(resolved.settings)
    client = target.connect()
    changed = unhide(client, target.keys, movies)
    target.make_durable(client)
    words = _words(client, target.keys)
    typer.echo(messages.unhide_message(changed, len(movies), words))


@store_commands.command("hidden", cls=PlainCommand)
@takes(Panel.STORE)
def hidden_(resolved: ResolvedSettings) -> None:
    """List hidden movies: id, tab, title."""
    target = Target.from_settings(resolved.settings)
    client = target.connect()
    typer.echo(
        fit_to_terminal(
            messages.hidden_list(_titles(client, target.keys, hidden(client, target.keys)))
        )
    )


def _titles(client: Client, keys: Keys, movie_ids: Iterable[str]) -> Mapping[str, str | None]:
    """Return the titles of movies in the live generation by id, None where there is none."""
    reader = Reader(client=client, namespace=keys.namespace)
    titles: dict[str, str | None] = {}
    for movie_id in movie_ids:
        try:
            movie = reader.movie(movie_id)
        except (NothingPublished, ContractMismatch):
            movie = None
        titles[movie_id] = None if movie is None else movie.title
    return titles


def _words(client: Client, keys: Keys) -> Words:
    """Return the words of the live generation, or the default where there is none."""
    try:
        return words_of(Reader(client=client, namespace=keys.namespace).status().manifest)
    except (NothingPublished, ContractMismatch):
        return DEFAULT_WORDS


@store_commands.command("forget", cls=PlainCommand)
@takes(Panel.STORE)
def forget_(
    resolved: ResolvedSettings,
    users: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="USER...", help="Ids of users. [default: all who were forgotten earlier]"
        ),
    ] = None,
    *,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo", help="Let later runs read these users again; erase nothing. [default: no]"
        ),
    ] = False,
) -> None:
    """Erase users, and leave them out of later runs.

    Deletes their keys in every generation, their rows in every artifact and the unfinished runs.
    Without an id, erases everybody who was forgotten earlier, as is necessary after a backup was
    restored. May be repeated, and must be if it was interrupted. Erased values come back only with
    a later run, after --undo.
    """
    from reco_batch.night.forget import forget_users, undo_forget  # noqa: PLC0415  # tables and the report

    target = Target.from_settings(resolved.settings)
    try:
        client = target.connect()
    except NothingPublished:  # the embedded store has nothing to serve
        client = None
    lock = None if client is None else RunLock(client, target.keys)
    if undo:
        undone = undo_forget(target.home, target.namespace, lock, users or [])
        typer.echo(fit_to_terminal(messages.undo_message(undone)))
        return
    found = forget_users(
        target.home,
        target.namespace,
        lock,
        users or [],
        warn=lambda line: typer.echo(f"warning: {line}", err=True),
    )
    if client is not None:
        target.make_durable(client)
    typer.echo(fit_to_terminal(messages.forget_message(found)))
    if found.failure is not None:
        raise found.failure


@store_app.command("stop", cls=PlainCommand)
@takes("home")
def store_stop(resolved: ResolvedSettings) -> None:
    """Save and stop the embedded store; the next command starts it again."""
    from reco_store.connection.embedded.server import stop_server  # noqa: PLC0415

    typer.echo(
        messages.stop_message(was_running=stop_server(Target.from_settings(resolved.settings).home))
    )
