"""The `batch` command: parse, call one function, print.

Here are the commands that make nights and look at them; those that change what is served are in
`store_commands`, those that write or show settings in `settings_commands`. Results go to standard
output, progress and everything else to standard error. The options are made of the settings
(`flags.takes`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_batch.commands import messages
from reco_batch.commands.help import PlainCommand, PlainGroup
from reco_batch.commands.options import Force, GenerationOrLatest
from reco_batch.commands.setting_options import takes
from reco_batch.commands.settings_commands import settings_commands
from reco_batch.commands.store_commands import store_app, store_commands
from reco_batch.progress.terminal import fit_to_terminal, print_errors_as_warnings
from reco_batch.settings.option import Panel
from reco_batch.settings.precedence import Told
from reco_batch.settings.target import Target
from reco_terminal.console import guard

if TYPE_CHECKING:
    from reco_batch.night.run import Night

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    # Plain help and tracebacks: what cron mails must be readable.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(store_commands)
app.add_typer(settings_commands)
app.add_typer(store_app, name="store")


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it like this
    if asked:
        from reco_store._version import __version__  # noqa: PLC0415

        typer.echo(f"batch (reco) {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 store unreachable or unfit, 4 data refused, "
    "5 the night failed, 6 refused by the gate or held after a rollback, 75 another run is at "
    "work, 129 ended by SIGHUP, 130 interrupted, 143 ended by SIGTERM. A run whose generation is "
    "live ends with 0, whatever fails after that."
)
def _batch(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train, precompute every answer, and publish them to Redis as one generation.

    Every setting is an option, a variable of the environment or a key of reco.toml; of several
    the first of these counts. `batch init` writes such a file, `batch config` shows what holds.
    """


def _summarise(told: Told, page: str) -> None:
    """Print the summary of a run, unless `--quiet`: cron mails everything that is printed."""
    if not told.settings.quiet:
        typer.echo(fit_to_terminal(page))


@app.command(cls=PlainCommand)
@takes(*(panel for panel in Panel if panel is not Panel.TUNING))
def run(told: Told, *, force: Force = None) -> None:
    """Run the whole night: read, train, score, publish.

    Readers see the new generation only when every key of it has been written and read back;
    whatever fails before leaves the last one served.
    """
    from reco_batch.commands.run_commands import run_command  # noqa: PLC0415

    target = Target.told(told.settings)

    ended: list[tuple[Night, float]] = []
    live: Night | str | None = None
    try:
        live = run_command(told.settings, target, force=force, ended=ended)
    finally:  # refused or held, too: why not is an error, which follows
        for night, seconds in ended:
            with print_errors_as_warnings():
                options = target.reading_options
                page = messages.run_summary(
                    night, store=target.label, reading_options=options, seconds=seconds
                )
                _summarise(told, page)
    if not ended:  # cut short after readers were switched to it
        with print_errors_as_warnings():
            _summarise(told, messages.live_line(str(live)))


@app.command(cls=PlainCommand)
@takes(
    "home",
    Panel.DATA,
    "split",
    "preset",
    "seed",
    "threads",
    "parameters",
    Panel.TUNING,
    Panel.PROGRESS,
)
def tune(told: Told) -> None:
    """Look for better hyper-parameters, for `batch run --parameters FILE`.

    Every trial trains on the training part and is judged by the validation part; the test part is
    not looked at. Finished trials are kept: the same command goes on where it was stopped.
    Nothing is published.
    """
    from reco_batch.commands.run_commands import tune_command  # noqa: PLC0415

    settings = told.settings
    searches = tune_command(settings, Target.told(settings))
    said = messages.tuning_summary(
        searches, out=settings.tune.out, data=str(settings.data), preset=settings.preset
    )
    typer.echo(fit_to_terminal(said))


@app.command(cls=PlainCommand)
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write, for `batch run --data`.")],
    *,
    like: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Whose size. [allowed: ml-latest-small, ml-25m or ml-32m]"
        ),
    ] = "ml-latest-small",
    scale: Annotated[
        float,
        typer.Option(
            metavar="PART", help="Part of its users and ratings; the catalogue stays whole."
        ),
    ] = 1,
    movies: Annotated[
        int | None,
        typer.Option(metavar="N", help="Size of the catalogue. [default: its own]"),
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORM", help="Of both files. [allowed: csv or parquet]"),
    ] = "csv",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of everything: the same seed, the same files.")
    ] = 42,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress. [default: no]")
    ] = False,
) -> None:
    """Write ratings that nobody gave, as many as a MovieLens release has, to try a machine with.

    Few movies have most of the ratings; users have tastes that models can learn, and rate in
    sittings. No user rates a movie twice, and each at least twenty.
    """
    said = {"out": out, "like": like, "scale": scale, "movies": movies, "form": form, "seed": seed}
    with guard():
        from reco_batch.commands.run_commands import simulate_command  # noqa: PLC0415

        typer.echo(
            fit_to_terminal(messages.simulation_summary(simulate_command(said, quiet=quiet)))
        )


@app.command(cls=PlainCommand)
@takes(Panel.STORE, Panel.GATE, "keep", Panel.PROGRESS, Panel.MONITORING)
def republish(told: Told, generation: GenerationOrLatest, *, force: Force = None) -> None:
    """Publish an artifact that is on disk again, without training.

    For a Redis that lost its data, or to fill another one. `latest` is the newest artifact that the
    gate did not refuse and that was not rolled back from.
    """
    from reco_batch.commands.run_commands import republish_command  # noqa: PLC0415

    published = republish_command(
        told.settings, Target.told(told.settings), generation, force=force
    )
    with print_errors_as_warnings():
        _summarise(
            told,
            messages.live_line(published)
            if isinstance(published, str)
            else messages.publish_summary(published),
        )


@app.command(cls=PlainCommand)
@takes("home", "namespace")
def report(
    told: Told,
    generation: Annotated[
        str | None, typer.Argument(metavar="[GENERATION]", help="By default the newest one.")
    ] = None,
    *,
    open_: Annotated[
        bool, typer.Option("--open", help="Show it in a browser. [default: no]")
    ] = False,
) -> None:
    """Print the path of a night's report, which is written again if it is missing.

    One HTML file, made of nothing but the night's folder: it opens without a network.
    """
    from reco_batch.report.file import open_report, report_of  # noqa: PLC0415

    target = Target.told(told.settings)
    path = report_of(target.artifacts, generation, namespace=target.keys.namespace)
    typer.echo(path)
    if open_:
        open_report(path)


@app.command(cls=PlainCommand)
@takes("home", "namespace")
def diff(
    told: Told,
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="BEFORE",
            help="By default what AFTER was compared with; a single name is AFTER.",
        ),
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="By default the newest one.")
    ] = None,
    *,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Compare this user's lists. [default: all users]"),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Lines of each kind.")] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object. [default: no]")
    ] = False,
) -> None:
    """Compare the lists of two nights: what users keep, which movies come and go, who sees others.

    Read from the folders of the nights alone, without a store. In a pipe each line begins with what
    it is about; fields are separated by tabs.
    """
    from reco_batch.commands import diff_page  # noqa: PLC0415
    from reco_batch.evaluation.list_diff import choose_runs, difference, user_difference  # noqa: PLC0415

    target = Target.told(told.settings)
    if after is None:  # a single name is that of the night to look at
        before, after = None, before
    nights = choose_runs(target.artifacts, before, after, namespace=target.keys.namespace)
    found = difference(*nights, n=n) if user is None else user_difference(*nights, user, n=n)
    typer.echo(diff_page.json_text(found) if as_json else diff_page.page(found))
