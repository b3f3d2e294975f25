"""Names of all keys of the store; no other module builds one.

    key                          type    TTL      written by       read by
    {ns}:current                 STRING  none 1   switch, rollback every reader
    {ns}:manifest:<gen>          STRING  none 2   publisher        readers, gate
    {ns}:generations             STRING  none 1   publisher        publisher, operator
    {ns}:inventory:<gen>:<c>     STRING  none 2   publisher        collector
    {ns}:lock                    STRING  lease    run lock         run lock
    {ns}:fence                   STRING  none 1   run lock         switch
    {ns}:hold                    STRING  none 3   rollback         switch, status
    {ns}:experiment              STRING  none 4   batch experiment readers that assign
    {ns}:hidden                  SET     none 4   batch hide, app  every reader
    {ns}:available               SET     none 4   application      readers that are asked to
    {ns}:available:<name>        SET     none 4   application      readers that are asked to
    ns:<gen>:<suffix>            STRING  none 2   publisher        every reader

    1  one small key that is never deleted
    2  a TTL would let the server drop part of a complete generation; the registry and the
       inventory are used to delete these keys instead
    3  contains its own end, which is compared with the caller's clock; the next rollback
       replaces it
    4  belongs to operators and applications and holds for all generations; the job never
       deletes it

The control keys share the hash tag ``{ns}``, so one script can change all of them on a Redis
Cluster. Data keys have no hash tag and spread over all nodes. The suffix of a data key is
``<family>:<id>`` (see ``families``), with the id unescaped and last, so a key is unambiguous
whatever the id contains. Pure functions: no store, no clock.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from reco_store.contract.families import (
    BECAUSE,
    MOVIE,
    NEXT,
    POPULAR,
    RANKED,
    SEARCH,
    SEEN,
    SIMILAR,
    TITLE,
    USER,
    Family,
)
from reco_store.contract.titles import (
    SEARCH_PREFIX,
    fold_title,
    loose_forms,
    split_year,
    title_words,
)
from reco_store.errors import UsageError

__all__ = [
    "BY_HIGHEST_RATED",
    "BY_MOST_RATED",
    "BY_NEW",
    "BY_TRENDING",
    "POPULAR_KINDS",
    "Keys",
    "because_suffix",
    "family_suffix",
    "fold_title",
    "is_generation_id",
    "loose_title_suffixes",
    "movie_suffix",
    "new_generation_id",
    "next_suffix",
    "parse_generation_id",
    "popular_suffix",
    "ranked_suffix",
    "search_suffix",
    "seen_suffix",
    "similar_suffix",
    "title_suffix",
    "title_suffixes",
    "title_words",
    "user_suffix",
    "whole_word_suffix",
]

BY_MOST_RATED = "most_rated"
BY_HIGHEST_RATED = "highest_rated"
BY_TRENDING = "trending"
BY_NEW = "new"
#: Kinds of popular lists. A generation has the last two only if its run was configured for them.
POPULAR_KINDS = (BY_MOST_RATED, BY_HIGHEST_RATED, BY_TRENDING, BY_NEW)

_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_GENERATION = re.compile(r"(\d{8}T\d{6})Z-[0-9a-f]{4}", re.ASCII)
_ENTROPY = re.compile(r"[0-9a-f]{4}")
_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_STAMP = "%Y%m%dT%H%M%S"


class Keys:
    """The keys of one namespace.

    Args:
        namespace: ``[a-z0-9][a-z0-9_-]{0,31}``; one store can hold several namespaces.

    Raises:
        UsageError: the namespace is not of that form.
    """

    __slots__ = (
        "current",
        "experiment",
        "fence",
        "generations",
        "hidden",
        "hold",
        "lock",
        "namespace",
    )

    def __init__(self, namespace: str = "reco") -> None:
        if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
            raise UsageError(
                f"namespace {namespace!r}: expected 1 to 32 of a-z, 0-9, '_', '-', "
                "starting with a letter or digit"
            )
        tag = f"{{{namespace}}}"
        self.namespace = namespace
        self.current = f"{tag}:current"
        self.generations = f"{tag}:generations"
        self.lock = f"{tag}:lock"
        self.fence = f"{tag}:fence"
        self.hold = f"{tag}:hold"
        self.hidden = f"{tag}:hidden"
        self.experiment = f"{tag}:experiment"

    def __repr__(self) -> str:
        return f"Keys({self.namespace!r})"

    def available(self, name: str | None = None) -> str:
        """Return the key of a set of available movies.

        Args:
            name: name of one of several sets; None returns the key of the unnamed set.

        Raises:
            UsageError: the name is not 1 to 64 of letters, digits, '_', '.' and '-'.
        """
        key = f"{{{self.namespace}}}:available"
        if name is None:
            return key
        if not _SET_NAME.fullmatch(name):
            raise UsageError(
                f"available {name!r}: expected the name of a set, 1 to 64 of letters, digits, "
                "'_', '.', '-', starting with a letter or digit"
            )
        return f"{key}:{name}"

    def manifest(self, generation: str) -> str:
        """Return the key of a generation's manifest."""
        return f"{{{self.namespace}}}:manifest:{generation}"

    def inventory(self, generation: str, chunk: int) -> str:
        """Return the key of one chunk of a generation's list of suffixes."""
        return f"{{{self.namespace}}}:inventory:{generation}:{chunk}"

    def data_prefix(self, generation: str) -> str:
        """Return the prefix of every data key of a generation."""
        return f"{self.namespace}:{generation}:"

    def data(self, generation: str, suffix: str) -> str:
        """Return the key of one value of a generation."""
        return f"{self.namespace}:{generation}:{suffix}"


def new_generation_id(now: datetime, entropy: str | None = None) -> str:
    """Return a name for a new generation, such as ``20261124T031502Z-7f3a``; names sort by time.

    Args:
        now: aware time, converted to UTC and cut to whole seconds.
        entropy: four hex digits that distinguish two runs of the same second; None draws them.

    Raises:
        UsageError: ``now`` has no time zone, or ``entropy`` is not four hex digits.
    """
    if now.tzinfo is None:
        raise UsageError(f"the time {now.isoformat()} has no time zone; pass an aware datetime")
    tail = secrets.token_hex(2) if entropy is None else entropy
    if not _ENTROPY.fullmatch(tail):
        raise UsageError(f"entropy {tail!r}: expected four of 0-9a-f")
    return f"{now.astimezone(UTC).strftime(_STAMP)}Z-{tail}"


def is_generation_id(text: str) -> bool:
    """Return whether a text is the name of a generation."""
    match = _GENERATION.fullmatch(text)
    if match is None:
        return False
    try:
        datetime.strptime(match[1], _STAMP)
    except ValueError:  # a 13th month
        return False
    return True


def parse_generation_id(generation: str) -> datetime:
    """Return the time at which a generation was named.

    Raises:
        UsageError: the text is not the name of a generation.
    """
    if not is_generation_id(generation):
        raise UsageError(
            f"{generation!r} is not a generation; expected a name like 20261124T031502Z-7f3a."
        )
    return datetime.strptime(generation[:15], _STAMP).replace(tzinfo=UTC)


def family_suffix(family: Family, subject: str) -> str:
    """Return the key suffix of a family's value.

    Args:
        family: family of keys.
        subject: id of the user or movie, or whatever else the family has one key for.
    """
    return f"{family.name}:{subject}"


def user_suffix(user_id: str) -> str:
    """Return the suffix of a user's retrieval list."""
    return family_suffix(USER, user_id)


def because_suffix(user_id: str) -> str:
    """Return the suffix of the explanations of a user's retrieval list."""
    return family_suffix(BECAUSE, user_id)


def ranked_suffix(user_id: str) -> str:
    """Return the suffix of a user's list by predicted rating."""
    return family_suffix(RANKED, user_id)


def seen_suffix(user_id: str) -> str:
    """Return the suffix of the list of movies that a user rated."""
    return family_suffix(SEEN, user_id)


def similar_suffix(movie_id: str) -> str:
    """Return the suffix of a movie's list of similar movies."""
    return family_suffix(SIMILAR, movie_id)


def next_suffix(movie_id: str) -> str:
    """Return the suffix of the recommendations for a user known to have rated one movie."""
    return family_suffix(NEXT, movie_id)


def movie_suffix(movie_id: str) -> str:
    """Return the suffix of a movie's card."""
    return family_suffix(MOVIE, movie_id)


def popular_suffix(by: str, genre: str | None = None) -> str:
    """Return the suffix of a popularity list, overall or of one genre.

    Raises:
        UsageError: ``by`` is not one of ``POPULAR_KINDS``.
    """
    if by not in POPULAR_KINDS:
        *others, last = POPULAR_KINDS
        raise UsageError(f"by {by!r}: expected {', '.join(others)} or {last}")
    return family_suffix(POPULAR, by if genre is None else f"{by}:genre:{genre}")


#: Suffix of the one list that every generation contains.
MOST_RATED_SUFFIX = popular_suffix(BY_MOST_RATED)


def title_suffix(title: str) -> str:
    """Return the suffix of the movies with a title, ignoring case, accents and spacing."""
    return family_suffix(TITLE, fold_title(title))


def title_suffixes(title: str) -> tuple[str, ...]:
    """Return the suffixes of all lists that contain a movie with this title.

    The title is listed with and without its year; a title that folds to nothing is not listed.
    """
    full = title_suffix(title)
    bare = title_suffix(split_year(title)[0])
    empty = family_suffix(TITLE, "")
    return tuple(name for name in dict.fromkeys((full, bare)) if name != empty)


def loose_title_suffixes(title: str) -> tuple[str, ...]:
    """Return the suffixes of a title's loose forms, used where no movie has exactly that title."""
    own = title_suffixes(title)
    loose = (family_suffix(TITLE, form) for form in loose_forms(title))
    return tuple(name for name in loose if name not in own)


def search_suffix(word: str) -> str:
    """Return the suffix of the movies with a title word that begins like a word."""
    return family_suffix(SEARCH, word[:SEARCH_PREFIX])


def whole_word_suffix(word: str) -> str:
    """Return the suffix of all movies with exactly this title word.

    Only words whose beginning is too frequent have such a list.
    """
    return family_suffix(SEARCH, f"={word}")
