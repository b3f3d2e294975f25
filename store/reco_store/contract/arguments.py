"""Validation and conversion of arguments: ids, counts, years, ratings and names.

Applications may keep ids as integers, also of NumPy. A value that converts unambiguously is
converted; any other value is refused, with the value found and the form expected, because a value
that matches nothing would silently change the answer. Pure functions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from reco_store.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Id",
    "Recent",
    "id_text",
    "id_texts",
    "list_length",
    "name_text",
    "name_texts",
    "recent_by_id",
    "stars_by_id",
    "year_number",
]

#: Id as an argument; NumPy integers are accepted too.
Id: TypeAlias = "str | int"

#: Movie id -> stars, or None without stars; newest first.
Recent: TypeAlias = "Mapping[str, float | None] | Mapping[int, float | None]"

MAX_LENGTH: Final = 2**31 - 1  # fits in the integers of every language and of Redis
MAX_YEAR: Final = 9999
_MAX_INTEGER: Final = 10**100  # Python refuses to format much longer integers


def id_text(value: object, name: str) -> str:
    """Return an id as the text used in keys and values.

    Args:
        value: str, or an integer of Python or NumPy.
        name: name of the argument, for the error.

    Raises:
        UsageError: the value has another type, or cannot be encoded as UTF-8.
    """
    if type(value) is str and value.isascii():  # the common case, kept quick
        return value
    if isinstance(value, str):
        return _written(str.__str__(value), name)
    number = _integer(value)
    if number is None or abs(number) >= _MAX_INTEGER:
        raise UsageError(f"{name} {_shown(value)}: expected an id, as a text or an integer")
    return str(number)


def id_texts(values: object, name: str) -> tuple[str, ...]:
    """Return several ids as texts; None gives an empty tuple.

    Raises:
        UsageError: a single id is given instead of several, or an element is not an id.
    """
    return tuple(id_text(value, name) for value in _several(values, name, "ids"))


def name_text(value: object, name: str) -> str:
    """Return a name, such as the name of a genre.

    Raises:
        UsageError: the value is not a str.
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} {_shown(value)}: expected a text")
    return _written(str.__str__(value), name)


def name_texts(values: object, name: str) -> tuple[str, ...]:
    """Return several names; None gives an empty tuple.

    Raises:
        UsageError: a single name is given instead of several, or an element is not a str.
    """
    return tuple(name_text(value, name) for value in _several(values, name, "texts"))


def list_length(value: object, name: str = "n") -> int:
    """Return the requested number of movies.

    Raises:
        UsageError: the value is not an integer from 1 to 2,147,483,647.
    """
    number = _integer(value)
    if number is None or not 1 <= number <= MAX_LENGTH:
        raise UsageError(
            f"{name} {_shown(value)}: expected 1 or more, an integer up to {MAX_LENGTH:,}"
        )
    return number


def year_number(value: object, name: str) -> int | None:
    """Return a year, or None for no limit.

    Raises:
        UsageError: the value is not an integer from 0 to 9999.
    """
    if value is None:
        return None
    number = _integer(value)
    if number is None or not 0 <= number <= MAX_YEAR:
        raise UsageError(f"{name} {_shown(value)}: expected a year, an integer up to {MAX_YEAR}")
    return number


def stars_by_id(ratings: object) -> dict[str, float]:
    """Return ratings by movie id, with ids as texts.

    Raises:
        UsageError: the ratings are not a mapping, two of its ids have the same text, or a rating
            is not a finite number.
    """
    if not isinstance(ratings, Mapping):
        raise UsageError(
            f'ratings {_shown(ratings)}: expected stars by movie id, such as {{"1": 5.0}}'
        )
    texts: dict[str, float] = {}
    for movie, stars in ratings.items():
        movie_id = id_text(movie, "ratings: movie")
        if movie_id in texts:
            raise UsageError(f"ratings: movie {movie_id!r} is rated twice; expected one rating")
        texts[movie_id] = _finite(stars, movie_id)
    return texts


def recent_by_id(recent: object) -> dict[str, float | None]:
    """Return recent movies with their stars, None without stars, with ids as texts.

    Raises:
        UsageError: the argument is not a mapping, two of its ids have the same text, or stars are
            neither a finite number nor None.
    """
    if not isinstance(recent, Mapping):
        raise UsageError(
            f'recent {_shown(recent)}: expected stars or None by movie id, such as {{"1": 5.0}}'
        )
    texts: dict[str, float | None] = {}
    for movie, stars in recent.items():
        movie_id = id_text(movie, "recent: movie")
        if movie_id in texts:
            raise UsageError(f"recent: movie {movie_id!r} is named twice; expected it once")
        texts[movie_id] = None if stars is None else _finite(stars, movie_id)
    return texts


def _finite(stars: object, movie_id: str) -> float:
    if not isinstance(stars, str | bytes | bool):
        try:
            number = float(stars)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise UsageError(f"stars {_shown(stars)} of movie {movie_id!r}: expected a finite number")


def _several(values: object, name: str, kind: str) -> Iterator[object]:
    """Return an iterator over several values; a text is refused, not split into letters."""
    if values is None:
        return iter(())
    if not isinstance(values, str | bytes):
        with suppress(TypeError):  # an array without a dimension cannot be iterated over
            return iter(values)  # type: ignore[call-overload,no-any-return]
    shown = _shown(values)
    raise UsageError(f"{name} {shown}: expected several {kind}, such as [{shown}]")


def _integer(value: object) -> int | None:
    """Return an integer of any library as int; None for any other value and for bool."""
    if type(value) is int:
        return value
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _written(text: str, name: str) -> str:
    try:
        text.encode("utf-8", "surrogateescape")  # undecodable bytes of a command line are kept
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} {text!r}: expected text that UTF-8 can hold") from error
    return text


def _shown(value: object) -> str:
    """Return a value for an error message, shortened, with its type if that is the error."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "of thousands of digits"
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if isinstance(value, int | str) else f"{text} ({type(value).__name__})"
