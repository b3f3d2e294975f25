"""What the commands say in plain words: ages, scores, and where an answer came from.

Pure functions over the store's answers; nothing is escaped and nothing printed here.
"""

from collections.abc import Sequence

from reco_store import Item
from reco_store.wording import age_words


def generation_words(generation: str, age_seconds: float) -> str:
    """Name a generation and its age in one clause."""
    return f"generation {generation}, {age_words(age_seconds)} old"


def score_words(score: float, source: str) -> str:
    """Write a score as its source means it.

    Args:
        score: the number from the list.
        source: the item's source.

    Returns:
        A number of ratings as a whole number, every other score with three decimals.
    """
    if source in ("most_rated", "most_rated_in_genre") and float(score).is_integer():
        return str(int(score))
    return f"{score:.3f}"


def source_words(source: str) -> str:
    """Write the name of a source for people: `most_rated` is `most rated`."""
    return source.replace("_", " ")


def size_words(size_bytes: int) -> str:
    """Write a size in kilobytes below a megabyte, else in megabytes."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.1f} kB"
    return f"{size_bytes / 1_000_000:,.1f} MB"


def bare_title(title: str, year: int | None) -> str:
    """Return a title without its ` (1995)` tail, for where the year has its own column."""
    return title if year is None else title.removesuffix(f" ({year})")


def fallback_note(
    items: Sequence[Item],
    *,
    wanted: str,
    whose: str,
    genre: str | None = None,
    filtered: bool = False,
) -> str | None:
    """Say in plain words that an answer, or the rest of one, is a fallback.

    Args:
        items: the answer, best first.
        wanted: the source that was asked for.
        whose: what the list belongs to, for example `user 42`.
        genre: the genre that was asked for, if any.
        filtered: whether only some movies were asked for: a list may then have none to show.

    Returns:
        One sentence, or None when the answer is all that was asked for.
    """
    others = [
        item
        for item in items
        if item.source != wanted or (genre is not None and genre not in item.genres)
    ]
    if not others:
        return None
    instead = _kinds(others) + ("" if genre is None else " of all genres")
    kept = len(items) - len(others)
    if kept == 0 and filtered:
        return (
            f"the {source_words(wanted)} list of {whose} has nothing of that kind; "
            f"these are {instead} instead."
        )
    if kept == 0:
        return f"{whose} has no {source_words(wanted)} list; these are {instead} instead."
    return (
        f"the {source_words(wanted)} list of {whose} has only {kept} to show; "
        f"{instead} fill the rest."
    )


def unknown_note(items: Sequence[Item], wanted: str) -> str:
    """Say that there is no such movie, and what is shown instead.

    Args:
        items: the answer, best first.
        wanted: the id or title that was asked for.
    """
    return f"no movie has the id or the exact title {wanted}; these are {_kinds(items)} instead."


def short_note(items: Sequence[Item], n: int) -> str | None:
    """Say that an answer has fewer items than asked for, or None when it has them all."""
    if len(items) >= n:
        return None
    return f"{len(items)} of {n}: the published lists have no more."


def _kinds(items: Sequence[Item]) -> str:
    sources = dict.fromkeys(source_words(item.source) for item in items)
    return f"{' and '.join(sources)} movies"
