"""The commands of `reco`.

Each command parses its options, reads the store (one request, or up to four if it looks up titles)
and writes the page. `reco_store` reads, `list_pages` and `status_pages` choose words and layout,
`output` writes.
"""

import gc
from typing import Annotated, Literal

import typer

from reco_cli import list_pages
from reco_cli.lookup import look_up, ratings_of, recent_of
from reco_cli.options import (
    LISTING,
    READING,
    Options,
    is_on_command_line,
    takes,
)
from reco_cli.output import write
from reco_cli.quick_commands import QuickCommand, QuickGroup
from reco_store import NotInstalled, UsageError

User = Annotated[str, typer.Argument(metavar="ID", help="Id of the user.")]

app = typer.Typer(
    cls=QuickGroup,
    no_args_is_help=True,
    # Plain help, errors and tracebacks: rich is loaded for tables only.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:  # noqa: FBT001 - typer calls it like this
    if requested:
        from reco_store._version import __version__  # noqa: PLC0415

        typer.echo(f"reco {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 store unreachable, 5 nothing published."
)
def _reco(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Read published recommendations: lists for users, similar movies, popular movies.

    Prints a table on a terminal, tab-separated lines in a pipe (rank, movieId, score, source,
    title, year, genres), and one JSON object with --json.
    """


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def get_user(
    options: Options,
    user_id: User,
    *,
    why: Annotated[
        bool, typer.Option("--why", help="Explain each movie by one that the user has rated.")
    ] = False,
    recent: Annotated[
        list[str] | None,
        typer.Option(
            "--recent",
            metavar="MOVIE[=STARS]",
            help="Movie that the user rated or saw after the run; may be repeated.",
        ),
    ] = None,
) -> None:
    """Show the movies recommended to a user.

    A user without a list gets the most rated movies instead, with a note.
    """
    with options.where.open() as reader:
        taken, notes = recent_of(reader, recent or ())
        answer = reader.user(user_id, why=why, recent=taken, **options.list_options.choice)
        page = list_pages.user_page(answer, user_id, options.list_options, why=why, recent=taken)
        write(page._replace(notes=(*notes, *page.notes)), as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def get_ranked(options: Options, user_id: User) -> None:
    """Show a user's movies by predicted rating.

    A user without a list gets the most rated movies instead, with a note.
    """
    with options.where.open() as reader:
        answer = reader.ranked(user_id, **options.list_options.choice)
        write(
            list_pages.ranked_page(answer, user_id, options.list_options), as_json=options.as_json
        )


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def for_ratings(
    options: Options,
    ratings: Annotated[
        list[str],
        typer.Argument(
            metavar="MOVIE=STARS...", help="Rating as TITLE_OR_ID=STARS, such as 'Heat (1995)=4'."
        ),
    ],
) -> None:
    """Recommend movies from a few ratings.

    For a user who has no list yet. Each movie is explained by one of the movies you rated highest.
    """
    with options.where.open() as reader:
        rated, notes = ratings_of(reader, ratings)
        answer = reader.for_ratings(rated, **options.list_options.choice)
        page = list_pages.for_ratings_page(answer, rated, options.list_options, notes=notes)
        write(page, as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def get_movie(
    options: Options,
    movie: Annotated[
        str,
        typer.Argument(metavar="ID|TITLE", help="Id, or whole title with or without the year."),
    ],
) -> None:
    """Show a movie and the movies similar to it.

    Case, accents, punctuation and articles are ignored. If several movies have the title, they are
    listed with their ids, and the exit code is 2.
    """
    with options.where.open() as reader:
        found = look_up(reader, movie, options.list_options.choice)
        write(list_pages.movie_page(found, movie, options.list_options), as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("n", *READING)
def search(
    options: Options,
    text: Annotated[
        list[str], typer.Argument(metavar="WORDS...", help="Words of a title, or their beginnings.")
    ],
) -> None:
    """Find movies by words of their titles.

    Case, accents, punctuation and word order are ignored; a prefix of a word is enough. If no title
    has all words, titles with some of them are shown, with a note.
    """
    with options.where.open() as reader:
        words = " ".join(text)
        found, partial = reader.search(words, n=options.n), False
        if not found:
            found, partial = reader.search(words, n=options.n, partial=True), True
        status = reader.status()
        page = list_pages.search_page(found, words, options.n, status, partial=partial)
        write(page, as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes(*LISTING)
def get_popular(
    options: Options,
    *,
    by: Annotated[
        Literal["most-rated", "highest-rated", "trending", "new"],
        typer.Option(
            "--by", metavar="KIND", help="Kind: most-rated, highest-rated, trending or new."
        ),
    ] = "most-rated",
    genre: Annotated[
        str | None, typer.Option("--genre", metavar="GENRE", help="Only movies of this genre.")
    ] = None,
) -> None:
    """Show most or highest rated, trending or new movies."""
    with options.where.open() as reader:
        answer = reader.popular(by.replace("-", "_"), genre=genre, **options.list_options.choice)
        write(
            list_pages.popular_page(answer, by, genre, options.list_options),
            as_json=options.as_json,
        )


@app.command(cls=QuickCommand)
@takes("redis_url", "namespace", "home")
def browse(
    options: Options,
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address or name to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            help="Port to listen on; 0 for a free one. Default: 8484, or a free one.",
        ),
    ] = None,
) -> None:
    """Show what is published as web pages, until Ctrl-C.

    The pages have a user's history and list, also next to that of another generation or arm of an
    experiment, movies, popular lists and the figures of the live generation. They change nothing.
    """
    try:
        from reco_cli.browse.serving import serve  # noqa: PLC0415 - packages of its own extra
    except ModuleNotFoundError as error:
        if error.name not in ("uvicorn", "starlette", "jinja2", "markupsafe"):
            raise
        raise NotInstalled("`reco browse`", "browse") from error
    gc.enable()  # see `reco_cli.main`
    serve(
        options.where,
        host,
        port,
        show=lambda address: typer.echo(f"{address}   Ctrl-C ends"),
        warn=lambda sentence: typer.echo(f"warning: {sentence}", err=True),
    )


@app.command(cls=QuickCommand)
@takes("as_json", "redis_url", "namespaces", "generation", "home")
def status(
    options: Options,
    context: typer.Context,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Show every count, metric and setting.")
    ] = False,
) -> None:
    """Show the live generation, or another one.

    The page has its age, size, gate verdict and metrics. Several namespaces are shown side by side,
    and so are the arms of an experiment (`batch experiment`) if no namespace is named.
    """
    # Texts and formats of all metrics, which no list needs.
    from reco_cli.live_states import read_live_states  # noqa: PLC0415
    from reco_cli.status_pages import status_page  # noqa: PLC0415

    names = [name.strip() for name in options.namespaces or ()] or [options.namespace]
    if options.generation is not None and len(names) > 1:
        raise UsageError("--generation: expected one --namespace, whose generation it is")
    with_arms = options.generation is None and not is_on_command_line(context, "namespaces")
    found = read_live_states(options.where, names, with_arms=with_arms)
    write(status_page(found, options.where.label, every=every), as_json=options.as_json)
