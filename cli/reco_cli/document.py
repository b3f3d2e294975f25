"""JSON objects that `--json` prints, one for every command.

Fields may be added, never removed or given another meaning without a new `schema` number:

    schema        1
    command       "get-user", "get-ranked", "for-ratings", "get-movie", "search", "get-popular" or
                  "status"
    namespace     namespace that was read
    generation    id of the generation that was read
    age_seconds   its age when it was read
    query         arguments: user_id, or movie, or by and genre, or ratings (stars by id); for
                  get-user why (bool) and, if given, recent (stars or null by id); then n, exclude,
                  genres, from_year, to_year, available (name of a set, "" for the namespace's own)
                  and available_missing ("all" or "none")
    fallback      true if any item comes from another list than the requested one or those of recent
                  movies
    items         best first: rank, movie_id, score, source, title, year, genres, and because: the
                  explanation, movie_id and title of the rated movie that contributes most to this
                  one; null if not requested or not known
    notes         names of notes on the answer; more may be added. used_up: the published lists
                  have no more; all_seen: the user has rated everything; available_missing: that
                  set does not exist or is empty; data_lost: the store has lost lists
    movie         get-movie only: movie_id, title, year, genres, rating_count, mean_rating;
                  null if no movie has that id or title, or if several have the title
    candidates    get-movie only: movies that share the title, each like `movie`

`search` has, instead of fallback, items and notes, `movies`: best match first, each like `movie`;
`partial`: true if no title has all words, and these have some; its query is text and n.

`status` has, instead of query, fallback and items:

    store         the server's address with the password masked, or "embedded"
    created       start of the run that computed the generation, ISO 8601
    entries       number of keys; counts: number of keys in each family
    size_bytes    size of all values
    held_until    end of a rollback's hold, ISO 8601, else null; held_reason: its reason
    staged        generation that waits to be served, else null
    hidden        number of movies on the hide list
    sampled       number of keys that were checked; missing: number of these that the store lacks
    rating_scale, metrics, parameters, data, gate, hindsight: copied from the manifest, each may be
                  null
    experiment    name of the experiment that the namespace records or is an arm of, else null
    share         share of users that the experiment assigns to this namespace, 0 to 1, else null
    verdict       verdict on that experiment: copied from the manifest's section `experiment` if it
                  is of the one under way, else null
    errors        messages about parts that could not be read; usually empty
    beside        the same object, without this field, for each other namespace that was read

In a namespace in which nothing is live, generation, age_seconds and the fields of a live generation
are null.

Ids are always strings. An absent value, such as a movie without a year, is null.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reco_store import Item, Movie

SCHEMA = 1

_OUTSIDE_ASCII = re.compile(r"[^\n\x20-\x7e]")


def frame(
    command: str, namespace: str, generation: str | None, age_seconds: float | None
) -> dict[str, Any]:
    """Return the first fields of every object."""
    return {
        "schema": SCHEMA,
        "command": command,
        "namespace": namespace,
        "generation": generation,
        "age_seconds": None if age_seconds is None else round(age_seconds, 3),
    }


def item_objects(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return recommended movies as objects, best first."""
    return [
        {
            "rank": rank,
            "movie_id": item.movie_id,
            "score": item.score,
            "source": item.source,
            "title": item.title,
            "year": item.year,
            "genres": list(item.genres),
            "because": None if item.because is None else item.because._asdict(),
        }
        for rank, item in enumerate(items, start=1)
    ]


def movie_object(movie: Movie) -> dict[str, Any]:
    """Return a movie's card as an object."""
    return {
        "movie_id": movie.movie_id,
        "title": movie.title,
        "year": movie.year,
        "genres": list(movie.genres),
        "rating_count": movie.rating_count,
        "mean_rating": movie.mean_rating,
    }


def json_text(document: Mapping[str, Any], *, indented: bool, ascii_only: bool) -> str:
    """Return an object as JSON that is safe to show on a terminal.

    JSON itself escapes C0 control characters only. Every other unprintable character is escaped
    here: C1 controls and marks of text direction act on a terminal too.

    Args:
        document: the object.
        indented: indent it over several lines.
        ascii_only: escape everything outside ASCII, for an output in another encoding.

    Returns:
        The text, ending with a newline.
    """
    text = json.dumps(document, indent=2 if indented else None, ensure_ascii=ascii_only)
    return _OUTSIDE_ASCII.sub(_visible, text) + "\n"


def flattened(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every value of an object under its dotted name, such as `counts.user`.

    Args:
        document: the object; nested objects are flattened, a list is one JSON value.
        prefix: first part of every name.

    Yields:
        Pairs of name and text; null is an empty text.
    """
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", "" if value is None else json.dumps(value)


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
