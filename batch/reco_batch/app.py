"""The `batch` command: parse, call one function, print.

Results go to standard output, progress and everything else to standard error.
"""

from math import inf
from pathlib import Path
from typing import Annotated

import typer

from reco_batch import pages
from reco_batch.options import (
    DEFAULT_KEEP,
    DEFAULT_NAMESPACE,
    Data,
    Encoding,
    Force,
    GateBound,
    GenerationId,
    Home,
    Keep,
    Namespace,
    Parameters,
    PresetName,
    Quiet,
    RatingScale,
    RedisUrl,
    SplitName,
    Target,
    Threads,
)
from reco_store.console import guard
from reco_store.generations import list_generations, release, rollback

app = typer.Typer(
    no_args_is_help=True,
    # Plain help and tracebacks: what cron mails must be readable.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(no_args_is_help=True, help="The embedded store, used without a Redis.")
app.add_typer(store_app, name="store")


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it like this
    if asked:
        from reco_store._version import __version__  # noqa: PLC0415

        typer.echo(f"batch (reco) {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 store unreachable or unfit, 4 data refused, "
    "5 the night failed, 6 refused by the gate or held after a rollback, 75 another run is at work."
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
    """Train, precompute every answer, and publish them to Redis as one generation."""


@app.command()
def run(
    *,
    data: Data,
    preset: PresetName = "default",
    split: SplitName = "random",
    refit: Annotated[
        bool | None,
        typer.Option(
            "--refit/--no-refit",
            help="Publish models trained again on all ratings; by default as the preset has it "
            "(default: yes, notebook: no).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of all initial weights.")] = 42,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of user and similar lists.")] = 100,
    ranked_k: Annotated[
        str, typer.Option(metavar="N|all", help="Length of the lists by predicted rating.")
    ] = "1000",
    ranked_candidates: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Movies of a user that are rated for these lists: retrieval's best N, or all.",
        ),
    ] = "all",
    rank_by: Annotated[
        str | None,
        typer.Option(
            help="Order of the lists by predicted rating: bound, which distrusts movies with few "
            "ratings, or prediction; by default as the preset has it "
            "(default: bound, notebook: prediction).",
        ),
    ] = None,
    popular_n: Annotated[int, typer.Option(help="Length of the popularity lists.")] = 100,
    count_threshold: Annotated[
        int, typer.Option(help="Highest rated: only movies with more ratings than this.")
    ] = 50,
    rating_threshold: Annotated[
        float, typer.Option(help="Most rated: only movies whose mean rating is above this.")
    ] = 3.5,
    rating_scale: RatingScale = "0.5:5",
    encoding: Encoding = "utf-8",
    threads: Threads = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the newest unfinished night, if it is the same."),
    ] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Least time between checkpoints of a training; 0: every epoch.")
    ] = 30,
    parameters: Parameters = None,
    gate_bound: GateBound = None,
    force: Force = None,
    keep: Keep = DEFAULT_KEEP,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
    quiet: Quiet = False,
) -> None:
    """Run the whole night: read, train, score, publish.

    Readers see the new generation only when every key of it has been written and read back;
    whatever fails before leaves the last one served.
    """
    options = dict(locals())  # every parameter by its name; nothing else is defined yet
    with guard():
        from reco_batch.commands import run_command  # noqa: PLC0415

        target = Target.of(redis_url, namespace, home)
        night = run_command(options, target)
        said = pages.night(night, store=target.label, reading_options=target.reading_options)
        typer.echo(said)


@app.command()
def tune(
    *,
    data: Data,
    preset: PresetName = "default",
    split: SplitName = "random",
    seed: Annotated[int, typer.Option(help="Of the split, the weights and the trials.")] = 42,
    model: Annotated[str, typer.Option(help="retrieval, rating or both.")] = "both",
    trials: Annotated[
        int, typer.Option(help="Of each model, those of earlier runs among them.")
    ] = 20,
    time_limit: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="After which no trial begins.", show_default=False),
    ] = inf,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("tuned.json"),
    parameters: Parameters = None,
    rating_scale: RatingScale = "0.5:5",
    encoding: Encoding = "utf-8",
    threads: Threads = None,
    home: Home = None,
    quiet: Quiet = False,
) -> None:
    """Look for better hyper-parameters, for `batch run --parameters FILE`.

    Every trial trains on the training part and is judged by the validation part; the test part is
    not looked at. Finished trials are kept: the same command goes on where it was stopped.
    Nothing is published.
    """
    options = dict(locals())  # every parameter by its name; nothing else is defined yet
    with guard():
        from reco_batch.commands import tune_command  # noqa: PLC0415

        searches = tune_command(options, Target.of(None, DEFAULT_NAMESPACE, home))
        typer.echo(pages.tuned(searches, out=out, data=data, preset=preset))


@app.command()
def republish(
    generation: GenerationId,
    *,
    gate_bound: GateBound = None,
    force: Force = None,
    keep: Keep = DEFAULT_KEEP,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
    quiet: Quiet = False,
) -> None:
    """Publish an artifact that is on disk again, without training.

    For a Redis that lost its data, or to fill another one.
    """
    with guard():
        from reco_batch.commands import republish_command  # noqa: PLC0415

        published = republish_command(
            generation,
            Target.of(redis_url, namespace, home),
            keep=keep,
            gate_bound=gate_bound or (),
            force=force,
            quiet=quiet,
        )
        typer.echo(pages.published(published))


@app.command()
def generations(
    *, redis_url: RedisUrl = None, namespace: Namespace = DEFAULT_NAMESPACE, home: Home = None
) -> None:
    """List the generations that the store knows, newest first."""
    with guard():
        target = Target.of(redis_url, namespace, home)
        typer.echo(pages.generations(list_generations(target.connect(), target.keys)))


@app.command("rollback")
def rollback_(
    to: Annotated[
        str | None,
        typer.Argument(metavar="[GENERATION]", help="By default the one before the live one."),
    ] = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stays on record.")] = "",
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Serve an older generation again, at once.

    The generation rolled back from is never served again. The nights of the next 24 hours stage
    theirs and do not switch to it, unless `batch release` ends the hold.
    """
    with guard():
        target = Target.of(redis_url, namespace, home)
        client = target.connect()
        live = rollback(client, target.keys, to=to, reason=reason)
        target.make_durable(client)
        typer.echo(pages.rolled_back(live))


@app.command("release")
def release_(
    *, redis_url: RedisUrl = None, namespace: Namespace = DEFAULT_NAMESPACE, home: Home = None
) -> None:
    """End the hold that a rollback put on, so that the next night may be served."""
    with guard():
        target = Target.of(redis_url, namespace, home)
        client = target.connect()
        was_held = release(client, target.keys)
        target.make_durable(client)
        typer.echo(pages.released(was_held=was_held))


@store_app.command("stop")
def store_stop(*, home: Home = None) -> None:
    """Save the embedded store and end it; the next command starts it again."""
    with guard():
        from reco_store.embedded import stop_server  # noqa: PLC0415

        typer.echo(pages.stopped(was_running=stop_server(Target.of(None, "reco", home).home)))
