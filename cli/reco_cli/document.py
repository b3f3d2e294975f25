"""The JSON object that `--json` prints, one for every command.

Fields may be added, never removed or given another meaning without a new `schema` number:

    schema        1
    command       "get-user", "get-ranked", "for-ratings", "get-movie", "get-popular" or "status"
    namespace     the namespace that was read
    generation    id of the generation that answered
    age_seconds   its age when it was read
    query         what was asked: user_id, or movie, or by and genre, or ratings (stars by id); of
                  get-user why, whether it shall be said; then n, exclude, genres, from_year,
                  to_year, available: the name of a set, "" for the namespace's own, and
                  available_missing: "all" or "none"
    fallback      true when any item comes from another list than the one asked for
    items         best first: rank, movie_id, score, source, title, year, genres, and because: the
                  movie_id and title of the rated movie that contributes most to this one, if asked
                  for and known, else null
    notes         names of notes on the answer; more may be added. used_up: nothing else may be
                  shown; all_seen: the user has rated everything; available_missing:
                  that set does not exist or is empty; data_lost: the store lost lists
    movie         get-movie only: movie_id, title, year, genres, rating_count, mean_rating;
                  null when no movie has that id or title, or when several have the title
    candidates    get-movie only: the movies that share the title, each like `movie`

`search` has, instead of fallback, items and notes, `movies`: best match first, each like `movie`;
`partial`: true if no title has all words, and these have some; its query is text and n.

`status` has, instead of query, fallback and items:

    store         the server's address with the password masked, or "embedded"
    created       when the generation was computed, ISO 8601
    entries       number of keys; counts: the same for each family of keys
    size_bytes    sum of all values
    held_until    end of the hold that a rollback put on, ISO 8601, else null; held_reason
    hidden        number of movies on the hide list
    sampled       number of keys that were looked for; missing: how many of them the store lost
    rating_scale, metrics, parameters, data, gate: as the job wrote them, each may be null
    experiment    name of the experiment that it records, or that it is an arm of, else null
    share         the part of all users that it gives this namespace, else null
    errors        in words, what could not be read; usually empty
    beside        the same object, without this field, of each other namespace that was read

In a namespace in which nothing is live, generation, age_seconds and all of what is live are null.

Ids are always strings. What does not exist, such as a movie's year, is null.
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
    """Return the fields that every object begins with."""
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
    """Write an object as JSON that is safe to show on a terminal.

    JSON itself escapes the old control characters only. Here every character that is not
    printable is escaped: C1 controls and marks of text direction act on a terminal too.

    Args:
        document: the object.
        indented: spread it over lines, for a person.
        ascii_only: escape everything outside ASCII, for an output in another encoding.

    Returns:
        The text, with a line end.
    """
    text = json.dumps(document, indent=2 if indented else None, ensure_ascii=ascii_only)
    return _OUTSIDE_ASCII.sub(_visible, text) + "\n"


def flattened(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every value of an object under its dotted name, such as `counts.user`.

    Args:
        document: the object; objects in it are walked through, lists are one JSON value.
        prefix: what every name starts with.

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
