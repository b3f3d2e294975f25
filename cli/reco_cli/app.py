"""The commands of `reco`.

Each command parses its options, asks the store one question and writes the page. Reading
is `reco_store`'s, wording and layout are `pages`', writing is `output`'s.
"""

from typing import Annotated, Literal

import typer

from reco_cli import pages
from reco_cli.lookup import look_up
from reco_cli.options import (
    DEFAULT_COUNT,
    DEFAULT_NAMESPACE,
    AsJson,
    Available,
    AvailableIn,
    Count,
    Exclude,
    FromYear,
    Genre,
    Home,
    Namespace,
    RedisUrl,
    ToYear,
    Where,
    asked_for,
)
from reco_cli.output import write
from reco_cli.quick import QuickCommand, QuickGroup
from reco_cli.rated import ratings_of
from reco_store.console import guard

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
def get_user(
    user_id: User,
    *,
    n: Count = DEFAULT_COUNT,
    why: Annotated[
        bool, typer.Option("--why", help="Say which of the user's ratings speaks most for each.")
    ] = False,
    exclude: Exclude = None,
    genre: Genre = None,
    from_year: FromYear = None,
    to_year: ToYear = None,
    available: Available = False,
    available_in: AvailableIn = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Show the movies recommended to a user.

    A user without a list gets the most rated movies instead, and the output says so.
    """
    asked = asked_for(
        namespace, n, exclude, genre, (from_year, to_year), available=available, name=available_in
    )
    with guard(), Where(redis_url, namespace, home).open() as reader:
        answer = reader.user(user_id, why=why, **asked.choice)
        write(pages.user_page(answer, user_id, asked, why=why), as_json=as_json)


@app.command(cls=QuickCommand)
def get_ranked(
    user_id: User,
    *,
    n: Count = DEFAULT_COUNT,
    exclude: Exclude = None,
    genre: Genre = None,
    from_year: FromYear = None,
    to_year: ToYear = None,
    available: Available = False,
    available_in: AvailableIn = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Show a user's movies by predicted rating.

    A user without a list gets the most rated movies instead, and the output says so.
    """
    asked = asked_for(
        namespace, n, exclude, genre, (from_year, to_year), available=available, name=available_in
    )
    with guard(), Where(redis_url, namespace, home).open() as reader:
        answer = reader.ranked(user_id, **asked.choice)
        write(pages.ranked_page(answer, user_id, asked), as_json=as_json)


@app.command(cls=QuickCommand)
def for_ratings(
    ratings: Annotated[
        list[str],
        typer.Argument(metavar="MOVIE=STARS...", help="Such as 'Heat (1995)=4'; a title or an id."),
    ],
    *,
    n: Count = DEFAULT_COUNT,
    exclude: Exclude = None,
    genre: Genre = None,
    from_year: FromYear = None,
    to_year: ToYear = None,
    available: Available = False,
    available_in: AvailableIn = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Show movies for somebody who has no list yet, by a few ratings of theirs.

    Each line says which of the rated movies speaks most for it.
    """
    asked = asked_for(
        namespace, n, exclude, genre, (from_year, to_year), available=available, name=available_in
    )
    with guard(), Where(redis_url, namespace, home).open() as reader:
        rated = ratings_of(reader, ratings)
        answer = reader.for_ratings(rated, **asked.choice)
        write(pages.for_ratings_page(answer, rated, asked), as_json=as_json)


@app.command(cls=QuickCommand)
def get_movie(
    movie: Annotated[
        str,
        typer.Argument(metavar="ID|TITLE", help="Id, or exact title with or without its year."),
    ],
    *,
    n: Count = DEFAULT_COUNT,
    exclude: Exclude = None,
    genre: Genre = None,
    from_year: FromYear = None,
    to_year: ToYear = None,
    available: Available = False,
    available_in: AvailableIn = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Show a movie and the movies similar to it.

    Case and accents of a title do not matter. When several movies have the title, they are
    listed with their ids, and the exit code is 2.
    """
    asked = asked_for(
        namespace, n, exclude, genre, (from_year, to_year), available=available, name=available_in
    )
    with guard(), Where(redis_url, namespace, home).open() as reader:
        found = look_up(reader, movie, asked.choice)
        write(pages.movie_page(found, movie, asked), as_json=as_json)


@app.command(cls=QuickCommand)
def search(
    text: Annotated[
        list[str], typer.Argument(metavar="WORDS...", help="Words of a title, or beginnings.")
    ],
    *,
    n: Count = DEFAULT_COUNT,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Find movies by words of their titles.

    Case, accents and the order of the words do not matter; a beginning of a word is enough.
    """
    with guard(), Where(redis_url, namespace, home).open() as reader:
        found, status = reader.search(" ".join(text), n=n), reader.status()
        write(pages.search_page(found, " ".join(text), n, status), as_json=as_json)


@app.command(cls=QuickCommand)
def get_popular(
    *,
    by: Annotated[
        Literal["most-rated", "highest-rated"],
        typer.Option("--by", metavar="KIND", help="Either most-rated or highest-rated."),
    ] = "most-rated",
    genre: Annotated[
        str | None, typer.Option("--genre", metavar="GENRE", help="Only movies of this genre.")
    ] = None,
    n: Count = DEFAULT_COUNT,
    exclude: Exclude = None,
    from_year: FromYear = None,
    to_year: ToYear = None,
    available: Available = False,
    available_in: AvailableIn = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Show the movies with the most ratings, or with the best."""
    asked = asked_for(
        namespace, n, exclude, None, (from_year, to_year), available=available, name=available_in
    )
    with guard(), Where(redis_url, namespace, home).open() as reader:
        answer = reader.popular(by.replace("-", "_"), genre=genre, **asked.choice)
        write(pages.popular_page(answer, by, genre, asked), as_json=as_json)


@app.command(cls=QuickCommand)
def status(
    *,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    home: Home = None,
) -> None:
    """Show what is live: the generation, its age and its contents."""
    where = Where(redis_url, namespace, home)
    with guard(), where.open() as reader:
        write(pages.status_page(reader.status(), where.label), as_json=as_json)
