"""The commands of `reco`.

Each command parses its options, asks the store one question and writes the page. Reading
is `reco_store`'s, wording and layout are `pages`', writing is `output`'s.
"""

from typing import Annotated, Literal

import typer

from reco_cli import pages
from reco_cli.live import look
from reco_cli.lookup import look_up
from reco_cli.options import (
    LISTING,
    READING,
    Options,
    is_on_command_line,
    takes,
)
from reco_cli.output import write
from reco_cli.quick import QuickCommand, QuickGroup
from reco_cli.rated import ratings_of
from reco_cli.status_pages import status_page

User = Annotated[str, typer.Argument(metavar="ID", help="Id of the user.")]

app = typer.Typer(
    cls=QuickGroup,
    no_args_is_help=True,
    # Plain help, errors and tracebacks: rich is for tables, and loaded for these only.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it like this
    if asked:
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
    """Read what the nightly job published: recommendations, similar and popular movies.

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
        bool, typer.Option("--why", help="Say which of the user's ratings speaks most for each.")
    ] = False,
) -> None:
    """Show the movies recommended to a user.

    A user without a list gets the most rated movies instead, and the output says so.
    """
    with options.where.open() as reader:
        answer = reader.user(user_id, why=why, **options.asked.choice)
        write(pages.user_page(answer, user_id, options.asked, why=why), as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def get_ranked(options: Options, user_id: User) -> None:
    """Show a user's movies by predicted rating.

    A user without a list gets the most rated movies instead, and the output says so.
    """
    with options.where.open() as reader:
        answer = reader.ranked(user_id, **options.asked.choice)
        write(pages.ranked_page(answer, user_id, options.asked), as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def for_ratings(
    options: Options,
    ratings: Annotated[
        list[str],
        typer.Argument(metavar="MOVIE=STARS...", help="Such as 'Heat (1995)=4'; a title or an id."),
    ],
) -> None:
    """Show movies for somebody who has no list yet, by a few ratings of theirs.

    Each line says which of the better rated movies speaks most for it.
    """
    with options.where.open() as reader:
        rated, notes = ratings_of(reader, ratings)
        answer = reader.for_ratings(rated, **options.asked.choice)
        page = pages.for_ratings_page(answer, rated, options.asked, notes=notes)
        write(page, as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("genre", *LISTING)
def get_movie(
    options: Options,
    movie: Annotated[
        str,
        typer.Argument(metavar="ID|TITLE", help="Id, or whole title with or without its year."),
    ],
) -> None:
    """Show a movie and the movies similar to it.

    Case, accents, punctuation and the article of a title do not matter. When several movies have
    the title, they are listed with their ids, and the exit code is 2.
    """
    with options.where.open() as reader:
        found = look_up(reader, movie, options.asked.choice)
        write(pages.movie_page(found, movie, options.asked), as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("n", *READING)
def search(
    options: Options,
    text: Annotated[
        list[str], typer.Argument(metavar="WORDS...", help="Words of a title, or beginnings.")
    ],
) -> None:
    """Find movies by words of their titles.

    Case, accents, punctuation and the order of the words do not matter; a beginning of a word is
    enough. Where no title has all words, titles with some of them are shown, with a note.
    """
    with options.where.open() as reader:
        words = " ".join(text)
        found, partial = reader.search(words, n=options.n), False
        if not found:
            found, partial = reader.search(words, n=options.n, partial=True), True
        status = reader.status()
        page = pages.search_page(found, words, options.n, status, partial=partial)
        write(page, as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes(*LISTING)
def get_popular(
    options: Options,
    *,
    by: Annotated[
        Literal["most-rated", "highest-rated"],
        typer.Option("--by", metavar="KIND", help="Either most-rated or highest-rated."),
    ] = "most-rated",
    genre: Annotated[
        str | None, typer.Option("--genre", metavar="GENRE", help="Only movies of this genre.")
    ] = None,
) -> None:
    """Show the movies with the most ratings, or with the best."""
    with options.where.open() as reader:
        answer = reader.popular(by.replace("-", "_"), genre=genre, **options.asked.choice)
        write(pages.popular_page(answer, by, genre, options.asked), as_json=options.as_json)


@app.command(cls=QuickCommand)
@takes("as_json", "redis_url", "namespaces", "home")
def status(
    options: Options,
    context: typer.Context,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Show every count, metric, setting and digest.")
    ] = False,
) -> None:
    """Show what is live: the generation, its age, its contents and its quality.

    Several namespaces stand side by side; so do those of an experiment (`batch experiment`), if
    none is named.
    """
    names = [name.strip() for name in options.namespaces or ()] or [options.namespace]
    found = look(options.where, names, with_arms=not is_on_command_line(context, "namespaces"))
    write(status_page(found, options.where.label, every=every), as_json=options.as_json)
