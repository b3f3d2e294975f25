"""Pages of the commands that list movies, built from the store's answers. Pure functions."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from reco_cli import document, page_texts
from reco_cli.lookup import MovieLookup
from reco_cli.page import ListOptions, Page, Row
from reco_store import Answer, Movie, Status, UsageError
from reco_store.contract.words import Words, counted, words_of


def user_page(
    answer: Answer,
    user_id: str,
    options: ListOptions,
    *,
    why: bool,
    recent: Mapping[str, float | None] = MappingProxyType({}),
) -> Page:
    """Lay out the movies recommended to a user.

    Args:
        answer: the store's answer.
        user_id: the user.
        options: the options of every listing.
        why: whether explanations were requested.
        recent: stars, or None, of the movies that the user rated or saw after the run, by id.
    """
    return _listing(
        answer,
        options,
        command="get-user",
        heading=f"{answer.words.adapt('Movies')} for user {user_id}",
        fallback=page_texts.fallback_note(
            answer, wanted="personal", whose=f"user {user_id}", filtered=options.filtered
        ),
        query={"user_id": user_id, "why": why, **({"recent": dict(recent)} if recent else {})},
        whose=f"user {user_id}",
    )


def ranked_page(answer: Answer, user_id: str, options: ListOptions) -> Page:
    """Lay out a user's movies by predicted rating."""
    return _listing(
        answer,
        options,
        command="get-ranked",
        heading=f"{answer.words.adapt('Movies')} for user {user_id}, by predicted rating",
        fallback=page_texts.fallback_note(
            answer, wanted="ranked", whose=f"user {user_id}", filtered=options.filtered
        ),
        query={"user_id": user_id},
        whose=f"user {user_id}",
    )


def for_ratings_page(
    answer: Answer,
    ratings: Mapping[str, float],
    options: ListOptions,
    *,
    notes: tuple[str, ...] = (),
) -> Page:
    """Lay out the movies recommended for a few given ratings.

    Args:
        answer: the reader's answer.
        ratings: stars by id.
        options: the options of every listing.
        notes: sentences about the ratings.
    """
    whose = "these ratings"
    page = _listing(
        answer,
        options,
        command="for-ratings",
        heading=answer.words.adapt(f"Movies for {counted(len(ratings), 'rating')}"),
        fallback=page_texts.for_ratings_note(answer, filtered=options.filtered),
        query={"ratings": dict(ratings)},
        whose=whose,
    )
    return page._replace(notes=(*notes, *page.notes))


def popular_page(answer: Answer, by: str, genre: str | None, options: ListOptions) -> Page:
    """Lay out the popular movies, of one genre or of all.

    Args:
        answer: the store's answer.
        by: `most-rated` or `highest-rated`.
        genre: the genre, or None for all.
        options: the options of every listing.
    """
    kind = by.replace("-", "_")
    whose = "the whole catalogue" if genre is None else f"the genre {genre}"
    named = page_texts.source_words(kind, answer.words)
    return _listing(
        answer,
        options,
        command="get-popular",
        heading=f"The {named} {answer.words.items} of {whose}",
        fallback=page_texts.fallback_note(answer, wanted=kind, whose=whose, genre=genre),
        query={"by": by, "genre": genre},
        whose=whose,
    )


def movie_page(found: MovieLookup, wanted: str, options: ListOptions) -> Page:
    """Lay out a movie's card and similar movies, or the movies that share its title.

    Args:
        found: the lookup's result.
        wanted: the requested id or title.
        options: the options of every listing.
    """
    if found.candidates:
        return _candidates(found, wanted, options)
    movie = found.movie
    words = found.answer.words
    whose = f"{words.item} {wanted if movie is None else movie.movie_id}"
    shadowed = None
    if movie is None:
        heading, card = words.adapt("Popular movies"), None
        fallback: str | None = page_texts.unknown_note(found.answer, wanted, found.suggested)
    else:
        heading = f"{words.adapt('Movies')} similar to {movie.title}"
        card = document.movie_object(movie)
        shadowed = page_texts.shadowed_note(wanted, movie, found.titled)
        fallback = page_texts.fallback_note(
            found.answer, wanted="similar", whose=whose, filtered=options.filtered
        )
    page = _listing(
        found.answer,
        options,
        command="get-movie",
        heading=heading,
        fallback=fallback,
        query={"movie": wanted},
        more={"movie": card, "candidates": []},
        whose=whose,
    )
    if movie is None:
        return page
    notes = page.notes if shadowed is None else (shadowed, *page.notes)
    return page._replace(facts=_card(movie, words), notes=notes)


def search_page(
    found: Sequence[Movie], text: str, n: int, status: Status, *, partial: bool = False
) -> Page:
    """Lay out the movies whose titles match; the score is the number of ratings.

    Args:
        found: best match first.
        text: the search query.
        n: number of movies requested.
        status: status of the live generation.
        partial: True if no title has all words, and these have some of them.
    """
    none = "no title has all of these words or prefixes"
    notes = (f"{none}; these have some of them." if found else f"{none}, nor any of them.",)
    return Page(
        heading=f"{words_of(status.manifest).adapt('Movies')} with {text} in the title",
        rows=tuple(
            Row(
                rank,
                movie.movie_id,
                str(movie.rating_count),
                "search",
                movie.title,
                movie.year,
                movie.genres,
            )
            for rank, movie in enumerate(found, start=1)
        ),
        notes=notes if partial or not found else (),
        footer=page_texts.generation_words(status.generation, status.age_seconds),
        show_ids=True,
        document={
            **document.frame("search", status.namespace, status.generation, status.age_seconds),
            "query": {"text": text, "n": n},
            "partial": partial,
            "movies": [document.movie_object(movie) for movie in found],
        },
    )


def _listing(
    answer: Answer,
    options: ListOptions,
    *,
    command: str,
    heading: str,
    fallback: str | None,
    query: Mapping[str, Any],
    whose: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Page:
    short = page_texts.short_notes(answer, options.n, whose=whose, available=options.available)
    return Page(
        heading=heading,
        rows=tuple(
            Row(
                rank=rank,
                movie_id=item.movie_id,
                score=page_texts.score_words(item.score, item.source),
                source=item.source,
                source_words=page_texts.source_words(item.source, answer.words),
                title=item.title,
                year=item.year,
                genres=item.genres,
                because="" if item.because is None else item.because.title,
            )
            for rank, item in enumerate(answer.items, start=1)
        ),
        notes=(*((fallback,) if fallback else ()), *short),
        footer=page_texts.generation_words(answer.generation, answer.age_seconds),
        document={
            **_frame(command, answer, options),
            "query": {**query, **options.query},
            **more,
            "fallback": fallback is not None,
            "items": document.item_objects(answer.items),
            "notes": list(answer.notes),
        },
    )


def _candidates(found: MovieLookup, wanted: str, options: ListOptions) -> Page:
    titled = f"{len(found.candidates)} {found.answer.words.items} have the title"
    return Page(
        heading=f"{titled} {wanted}",
        rows=tuple(
            Row(rank, movie.movie_id, "", "candidate", movie.title, movie.year, movie.genres)
            for rank, movie in enumerate(found.candidates, start=1)
        ),
        footer=page_texts.generation_words(found.answer.generation, found.answer.age_seconds),
        show_ids=True,
        error=UsageError(f"{titled} {wanted!r}; ask for one by its id"),
        document={
            **_frame("get-movie", found.answer, options),
            "query": {"movie": wanted, **options.query},
            "movie": None,
            "candidates": [document.movie_object(movie) for movie in found.candidates],
            "fallback": False,
            "items": [],
            "notes": [],
        },
    )


def _frame(command: str, answer: Answer, options: ListOptions) -> dict[str, Any]:
    return document.frame(command, options.namespace, answer.generation, answer.age_seconds)


def _card(movie: Movie, words: Words) -> tuple[tuple[str, str], ...]:
    return (
        ("title", movie.title),
        ("id", movie.movie_id),
        ("genres", ", ".join(movie.genres) or "none listed"),
        page_texts.rating_fact(movie, words),
    )
