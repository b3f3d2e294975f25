"""Texts of the pages: ages, scores, notes about fallbacks. Pure functions of the store's answers.

Nothing is escaped or printed here.
"""

from collections.abc import Sequence

from reco_store import Answer, Item, Movie
from reco_store.contract.titles import fold_genre
from reco_store.contract.words import DEFAULT_WORDS, Words, counted
from reco_store.read.answer_types import NEXT, USED_UP
from reco_terminal.ages import age_words

#: Lists that a run publishes only for ratings in stars.
_OF_STARS = ("ranked", "highest_rated")


def generation_words(generation: str, age_seconds: float) -> str:
    """Return a generation and its age, such as `generation X, 3 hours old`."""
    return f"generation {generation}, {age_words(age_seconds)} old"


def score_words(score: float, source: str) -> str:
    """Format a score as its source defines it.

    Args:
        score: the number from the list.
        source: the item's source.

    Returns:
        A number of ratings as a whole number, every other score with three decimals.
    """
    if source in ("most_rated", "most_rated_in_genre") and float(score).is_integer():
        return str(int(score))
    return f"{score:.3f}"


def source_words(source: str, words: Words = DEFAULT_WORDS) -> str:
    """Return a source in words: `most_rated` becomes `most rated`, or `most bought`.

    What is rated highest goes by stars in any catalogue: nothing is "highest bought".
    """
    text = source.replace("_", " ")
    return text if source.startswith("highest_rated") else words.adapt(text)


def rating_fact(movie: Movie, words: Words) -> tuple[str, str]:
    """Return a name and a value: the number of ratings and their mean, or of users without stars.

    A card counts users, and several events of one user are no further users.
    """
    count = f"{movie.rating_count:,}"
    if movie.mean_rating is not None:
        return words.interactions, f"{count}, mean {movie.mean_rating:.2f}"
    if words.interacted == DEFAULT_WORDS.interacted:
        return words.interactions, count
    return f"{words.interacted} by", counted(movie.rating_count, "user")


def size_words(size_bytes: int) -> str:
    """Format a size: kilobytes below a megabyte, else megabytes."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.1f} kB"
    return f"{size_bytes / 1_000_000:,.1f} MB"


def bare_title(title: str, year: int | None) -> str:
    """Return a title without its ` (1995)` tail, for where the year has its own column."""
    return title if year is None else title.removesuffix(f" ({year})")


def fallback_note(
    answer: Answer,
    *,
    wanted: str,
    whose: str,
    genre: str | None = None,
    filtered: bool = False,
) -> str | None:
    """Return a note that an answer, or the rest of one, is a fallback.

    Args:
        answer: the answer.
        wanted: the requested source.
        whose: owner of the list, such as `user 42`.
        genre: the requested genre, if any.
        filtered: True if a filter may have removed every movie of the list.

    Returns:
        One sentence, or None if every item is from the requested source.
    """
    items, words = answer.items, answer.words
    others = [
        item for item in items if item.source not in (wanted, NEXT) or not _has_genre(item, genre)
    ]
    if not others:
        return None
    instead = _kinds(others, words) + ("" if genre is None else " of all genres")
    kept = len(items) - len(others)
    own = f"the {source_words(wanted, words)} list of {whose}"
    sources = {item.source for item in items}
    with_recent = NEXT in sources
    if kept and (wanted in sources or not with_recent):
        recent = f", with the recent {words.items}," if with_recent else ""
        return f"{own}{recent} has only {kept} to show; {instead} fill the rest."
    if with_recent:
        instead += f", re-ordered by the recent {words.items},"
    if filtered:
        reason = f"{own} has no {words.item} that passes the filters"
    elif wanted in _OF_STARS and words.interacted != DEFAULT_WORDS.interacted:
        reason = f"{words.items} without stars have no {source_words(wanted, words)} list"
    else:
        reason = f"{whose} has no {source_words(wanted, words)} list"
    return f"{reason}; showing the {instead} instead."


def for_ratings_note(answer: Answer, *, filtered: bool) -> str | None:
    """Return a note that recommendations from given ratings, or the rest of them, are a fallback.

    Args:
        answer: the answer.
        filtered: True if a filter may have removed every recommendation.

    Returns:
        One sentence, or None if every item is computed from the ratings.
    """
    items, words = answer.items, answer.words
    others = [item for item in items if item.source != "for_ratings"]
    if not others:
        return None
    if kept := len(items) - len(others):
        count = "one recommendation" if kept == 1 else f"{kept} recommendations"
        limit = words.adapt("from these ratings") + (" with these filters" if filtered else "")
        return f"only {count} could be computed {limit}; {_kinds(others, words)} fill the rest."
    reason = (
        "no recommendation computed from these ratings passes the filters"
        if filtered
        else "no recommendations could be computed from these ratings"
    )
    return f"{words.adapt(reason)}; showing the {_kinds(others, words)} instead."


def _has_genre(item: Item, genre: str | None) -> bool:
    """Return whether an item has a genre, in any spelling; True if no genre is requested."""
    return genre is None or fold_genre(genre) in map(fold_genre, item.genres)


def unknown_note(answer: Answer, wanted: str, similar: Sequence[Movie] = ()) -> str:
    """Return a note that no movie has this id or title, with the kind of list shown instead.

    Args:
        answer: the answer.
        wanted: the requested id or title.
        similar: suggested movies.
    """
    items, words = answer.items, answer.words
    instead = f"; showing the {_kinds(items, words)} instead" if items else ""
    return f"no {words.item} has the id or the title {wanted}{instead}.{suggestion(similar)}"


def suggestion(similar: Sequence[Movie]) -> str:
    """Return a sentence that suggests movies, after a space; empty for none."""
    named = ", ".join(f"{movie.title} (id {movie.movie_id})" for movie in similar)
    return f" Did you mean {named}?" if named else ""


def shadowed_note(wanted: str, shown: Movie, titled: Sequence[Movie]) -> str | None:
    """Return a note that the requested id is a title as well; None if it is not.

    Args:
        wanted: the requested id or title.
        shown: the movie with this id.
        titled: the movies with this title.
    """
    others = [movie for movie in titled if movie.movie_id != shown.movie_id]
    if not others:
        return None
    named = ", ".join(f"{movie.title} has the id {movie.movie_id}" for movie in others)
    return f"{wanted} is the id of {shown.title}; {named}."


def short_notes(answer: Answer, n: int, *, whose: str, available: str | None) -> tuple[str, ...]:
    """Return a sentence for each note of an answer: why it has fewer items, or others.

    Args:
        answer: the store's answer.
        n: number of movies requested.
        whose: owner of the list, such as `user 42`.
        available: name of the set of available movies, empty for the namespace's own.
    """
    words = answer.words
    the_set = f"the set of available {words.items}{f' {available!r}' if available else ''}"
    unrestricted = "so nothing is filtered out" if answer.items else "so nothing is shown"
    texts = {
        "available_missing": f"{the_set} does not exist or is empty, {unrestricted} "
        "(--available-missing).",
        "all_seen": f"{whose} "
        + words.adapt(
            "has rated every movie that could be shown; rated movies are not recommended again."
        ),
        "data_lost": "the store has lost the lists that would fill the rest; run "
        "`batch republish latest`.",
    }
    if answer.notes == (USED_UP,):
        return (f"{len(answer.items)} of {n}: the published lists have no more.",)
    return tuple(texts[note] for note in answer.notes if note in texts)


def _kinds(items: Sequence[Item], words: Words) -> str:
    """Return the sources of movies in words, such as `most rated movies of the genre`."""
    sources = list(dict.fromkeys(item.source for item in items))
    plain = [source_words(source) for source in sources if not source.endswith("_in_genre")]
    kinds = [f"{' and '.join(plain)} movies"] if plain else []
    of_genre = [source_words(s[: -len("_in_genre")]) for s in sources if s.endswith("_in_genre")]
    if of_genre:  # these precede the fallback of all genres in every answer
        kinds.insert(0, f"{' and '.join(of_genre)} movies of the genre")
    return words.adapt(" and ".join(kinds))
