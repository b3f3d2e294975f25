"""The `batch` command: runs, tuning, reports and comparisons.

`store_commands` contains the commands that change what is served, `settings_commands` those that
write or show settings. Results go to standard output, everything else to standard error.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_batch.commands import messages
from reco_batch.commands.help import PlainCommand, PlainGroup
from reco_batch.commands.setting_options import takes
from reco_batch.commands.settings_commands import settings_commands
from reco_batch.commands.store_commands import store_app, store_commands
from reco_batch.errors import DataRefused
from reco_batch.progress.terminal import fit_to_terminal, print_errors_as_warnings
from reco_batch.settings.address import mask_address
from reco_batch.settings.precedence import ResolvedSettings
from reco_batch.settings.setting_metadata import Panel
from reco_batch.settings.target import Target
from reco_terminal.console import guard

if TYPE_CHECKING:
    from reco_batch.commands.run_commands import RunResult

Force = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        rich_help_panel=Panel.GATE,
        show_default=False,
        help="Publish whatever the gate finds, and record the reason. [default: none]",
    ),
]

StageOnly = Annotated[
    bool,
    typer.Option(
        "--stage-only",
        rich_help_panel=Panel.STORE,
        help="Serve nothing new: leave the generation to `batch promote`. [default: no]",
    ),
]

app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    # Plain help and tracebacks stay readable in mails from cron.
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
    "5 the run failed, 6 refused by the gate or held after a rollback, 75 another run is active, "
    "129 ended by SIGHUP, 130 interrupted, 143 ended by SIGTERM. A run whose generation is live "
    "ends with 0, whatever fails after that."
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
    """Train, precompute every list, and publish them to Redis as one generation.

    A setting is an option, an environment variable or a key of reco.toml, in this order of
    precedence. `batch init` writes a reco.toml, `batch config` shows the values in effect.
    """


def _summarise(resolved: ResolvedSettings, page: str) -> None:
    """Print the summary of a run, unless `--quiet`: cron mails everything that is printed."""
    if not resolved.settings.quiet:
        typer.echo(fit_to_terminal(page))


def _end(resolved: ResolvedSettings, target: Target, result: "RunResult") -> None:
    """Print the summary of a run or a refresh, then raise the error that it ended with."""
    with print_errors_as_warnings():
        page = messages.live_line(result.generation)
        if result.unpublished is not None:
            page = messages.unpublished_line(*result.unpublished)
        if result.night is not None:
            page = messages.run_summary(
                result.night,
                store=target.label,
                reading_options=target.reading_options,
                seconds=result.seconds,
            )
        _summarise(resolved, page)
    if result.refusal is not None:
        raise result.refusal


@app.command(cls=PlainCommand)
@takes(*(panel for panel in Panel if panel is not Panel.TUNING))
def run(
    resolved: ResolvedSettings,
    *,
    force: Force = None,
    stage_only: StageOnly = False,
) -> None:
    """Run all stages: read, train, score, check and publish.

    Readers switch to the new generation only when all its keys have been written and read back. A
    run that fails before that leaves the live generation untouched.
    """
    from reco_batch.commands.run_commands import run_command  # noqa: PLC0415

    target = Target.from_settings(resolved.settings)
    result = run_command(resolved.settings, target, force=force, stage_only=stage_only)
    _end(resolved, target, result)


@app.command(cls=PlainCommand)
@takes(
    Panel.INPUT,
    Panel.STORE,
    Panel.GATE,
    "keep",
    "replicas",
    "threads",
    Panel.LOGGING,
    Panel.MONITORING,
)
def refresh(
    resolved: ResolvedSettings, *, force: Force = None, stage_only: StageOnly = False
) -> None:
    """Publish new ratings, with the models of the live generation.

    Computes the lists of users whose ratings have changed, the popular lists and the cards, and
    copies all other lists; without training, in seconds. If the catalogue or [rules] changed, all
    lists are computed. It publishes and is rolled back like a run. The artifact of the live
    generation must be on this machine. If nothing has changed, nothing is published.
    """
    from reco_batch.commands.run_commands import refresh_command  # noqa: PLC0415

    target = Target.from_settings(resolved.settings)
    result = refresh_command(resolved.settings, target, force=force, stage_only=stage_only)
    _end(resolved, target, result)


@app.command(cls=PlainCommand)
@takes(
    "home",
    Panel.INPUT,
    "split",
    "split_date",
    "preset",
    "seed",
    "threads",
    "parameters",
    Panel.TUNING,
    Panel.LOGGING,
)
def tune(resolved: ResolvedSettings) -> None:
    """Search for better hyper-parameters.

    Each trial trains on the training part and is scored on the validation part; the test part is
    not used. Finished trials are kept, so the same command continues an interrupted search.
    Nothing is published: `batch run --parameters FILE` uses the result.
    """
    from reco_batch.commands.run_commands import tune_command  # noqa: PLC0415

    settings = resolved.settings
    searches = tune_command(settings, Target.from_settings(settings))
    page = messages.tuning_summary(
        searches,
        out=settings.tune.out,
        data=mask_address(str(settings.data)),
        preset=settings.preset,
    )
    typer.echo(fit_to_terminal(page))


@app.command("check-data", cls=PlainCommand)
@takes("home", Panel.INPUT)
def check_data(resolved: ResolvedSettings) -> None:
    """Read and check the input, and train nothing.

    Shows what was understood of each column, all problems at once, and settings that would fit
    columns under other names. Exit code 4 if a run would refuse the input.
    """
    from reco_batch.commands.run_commands import check_command  # noqa: PLC0415

    settings = resolved.settings
    page, problems = check_command(settings, Target.from_settings(settings))
    lines = (
        fit_to_terminal(line) if line.startswith(("note: ", "problem ")) else line
        for line in page.split("\n")  # the suggested lines of reco.toml stay whole
    )
    typer.echo("\n".join(lines))
    if problems:
        raise typer.Exit(DataRefused.exit_code)


@app.command(cls=PlainCommand)
def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write, for `batch run --data`.")
    ],
    *,
    like: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Data set to imitate in size. [allowed: ml-latest-small, ml-25m or ml-32m]",
        ),
    ] = "ml-latest-small",
    scale: Annotated[
        float,
        typer.Option(metavar="FRACTION", help="Fraction of the data set's users and ratings."),
    ] = 1,
    movies: Annotated[
        int | None,
        typer.Option(metavar="N", help="Size of the catalogue. [default: as in the data set]"),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORM", help="Format of both files. [allowed: csv or parquet]"
        ),
    ] = "csv",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed; the same seed gives the same files.")
    ] = 42,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress. [default: no]")
    ] = False,
) -> None:
    """Write synthetic ratings of the size of a MovieLens release.

    Use them to see what a data set of this size needs on your machine. A few movies have most of
    the ratings; users have tastes that models can learn, and rate in sessions. Each user rates at
    least twenty movies, and no movie twice.
    """
    options = {
        "out": out,
        "like": like,
        "scale": scale,
        "movies": movies,
        "form": form,
        "seed": seed,
    }
    with guard():
        from reco_batch.commands.run_commands import simulate_command  # noqa: PLC0415

        typer.echo(
            fit_to_terminal(messages.simulation_summary(simulate_command(options, quiet=quiet)))
        )


@app.command(cls=PlainCommand)
@takes(Panel.STORE, Panel.GATE, "keep", "replicas", Panel.LOGGING, Panel.MONITORING)
def republish(
    resolved: ResolvedSettings,
    generation: Annotated[
        str, typer.Argument(metavar="GENERATION", help="Such as 20261124T031502Z-7f3a, or latest.")
    ],
    *,
    force: Force = None,
) -> None:
    """Publish an artifact on disk again, without training.

    Use it for a Redis that lost its data, or to fill another one. `latest` is the newest artifact
    that the gate did not refuse and that was not rolled back from.
    """
    from reco_batch.commands.run_commands import republish_command  # noqa: PLC0415

    settings = resolved.settings
    result = republish_command(settings, Target.from_settings(settings), generation, force=force)
    with print_errors_as_warnings():
        page = messages.live_line(result.generation)
        if result.published is not None:
            page = messages.publish_summary(result.published)
        _summarise(resolved, page)


@app.command(cls=PlainCommand)
@takes(Panel.STORE, "keep", "replicas", Panel.LOGGING, Panel.MONITORING)
def promote(
    resolved: ResolvedSettings,
    generation: Annotated[
        str, typer.Argument(metavar="GENERATION", help="Such as 20261124T031502Z-7f3a.")
    ],
) -> None:
    """Serve a generation that waits in the store.

    `batch run --stage-only` leaves one, and so does a hold after a rollback. It must be newer than
    the live one, and have passed the gate in comparison with it. Every key is read back first, and
    the switch is that of a run.
    """
    from reco_batch.commands.run_commands import promote_command  # noqa: PLC0415

    settings = resolved.settings
    result = promote_command(settings, Target.from_settings(settings), generation)
    with print_errors_as_warnings():
        page = messages.live_line(result.generation)
        if result.published is not None:
            page = messages.publish_summary(result.published)
        _summarise(resolved, page)


@app.command(cls=PlainCommand)
@takes("home", "namespace")
def report(
    resolved: ResolvedSettings,
    generation: Annotated[
        str | None,
        typer.Argument(metavar="GENERATION", help="Generation of the run. [default: the newest]"),
    ] = None,
    *,
    open_: Annotated[
        bool, typer.Option("--open", help="Open the report in a browser. [default: no]")
    ] = False,
) -> None:
    """Print the path of a run's HTML report.

    A missing report is written again from the folder of the run. It opens without a network.
    """
    from reco_batch.report.report_file import open_report, report_of  # noqa: PLC0415

    target = Target.from_settings(resolved.settings)
    path = report_of(target.artifacts, generation, namespace=target.keys.namespace)
    typer.echo(path)
    if open_:
        open_report(path)


@app.command(cls=PlainCommand)
@takes("home", "namespace")
def diff(
    resolved: ResolvedSettings,
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="BEFORE",
            help="Earlier generation. [default: the one that AFTER was compared with]",
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="AFTER",
            help="Later generation; may be given alone. [default: the newest]",
        ),
    ] = None,
    *,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Compare the lists of this user. [default: all users]"),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Lines of each kind.")] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object. [default: no]")
    ] = False,
) -> None:
    """Compare the lists of two generations.

    Shows how much of their top-10 users keep, which movies gain and lose users, and whose lists
    changed most. Reads the folders of both runs, and no store. In a pipe, each line begins with
    its kind, and tabs separate the fields.
    """
    from reco_batch.commands import diff_page  # noqa: PLC0415
    from reco_batch.evaluation.list_diff import choose_runs, difference, user_difference  # noqa: PLC0415
    from reco_store.contract.words import words_of  # noqa: PLC0415

    target = Target.from_settings(resolved.settings)
    if after is None:  # a single name is that of the later generation
        before, after = None, before
    nights = choose_runs(target.artifacts, before, after, namespace=target.keys.namespace)
    found = difference(*nights, n=n) if user is None else user_difference(*nights, user, n=n)
    words = words_of(nights[-1].manifest)
    typer.echo(diff_page.json_text(found) if as_json else diff_page.page(found, words))
