"""Builds the page of each command that lists movies from the store's answer. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from reco_cli import document, words
from reco_cli.lookup import Found
from reco_cli.page import Asked, Page, Row
from reco_store import Answer, Movie, Status, UsageError


def user_page(answer: Answer, user_id: str, asked: Asked, *, why: bool) -> Page:
    """Lay out the movies recommended to a user.

    Args:
        answer: what the store said.
        user_id: the user.
        asked: the other options.
        why: whether the reasons were asked for.
    """
    return _listing(
        answer,
        asked,
        command="get-user",
        heading=f"Movies for user {user_id}",
        fallback=words.fallback_note(
            answer.items, wanted="personal", whose=f"user {user_id}", filtered=asked.filtered
        ),
        query={"user_id": user_id, "why": why},
        whose=f"user {user_id}",
    )


def ranked_page(answer: Answer, user_id: str, asked: Asked) -> Page:
    """Lay out a user's movies by predicted rating."""
    return _listing(
        answer,
        asked,
        command="get-ranked",
        heading=f"Movies for user {user_id}, by predicted rating",
        fallback=words.fallback_note(
            answer.items, wanted="ranked", whose=f"user {user_id}", filtered=asked.filtered
        ),
        query={"user_id": user_id},
        whose=f"user {user_id}",
    )


def for_ratings_page(
    answer: Answer, ratings: Mapping[str, float], asked: Asked, *, notes: tuple[str, ...] = ()
) -> Page:
    """Lay out the movies recommended for a few given ratings.

    Args:
        answer: the reader's answer.
        ratings: stars by id.
        asked: the other options.
        notes: about the ratings.
    """
    whose = "these ratings"
    page = _listing(
        answer,
        asked,
        command="for-ratings",
        heading=f"Movies for somebody with {len(ratings)} rating{'s' * (len(ratings) != 1)}",
        fallback=words.fallback_note(
            answer.items, wanted="for_ratings", whose=whose, filtered=True
        ),
        query={"ratings": dict(ratings)},
        whose=whose,
    )
    return replace(page, notes=(*notes, *page.notes))


def popular_page(answer: Answer, by: str, genre: str | None, asked: Asked) -> Page:
    """Lay out the popular movies, of one genre or of all.

    Args:
        answer: what the store said.
        by: `most-rated` or `highest-rated`.
        genre: the genre, or None for all.
        asked: the other options.
    """
    whose = "the whole catalogue" if genre is None else f"the genre {genre}"
    return _listing(
        answer,
        asked,
        command="get-popular",
        heading=f"The {by.replace('-', ' ')} movies of {whose}",
        fallback=words.fallback_note(
            answer.items, wanted=by.replace("-", "_"), whose=whose, genre=genre
        ),
        query={"by": by, "genre": genre},
        whose=whose,
    )


def movie_page(found: Found, wanted: str, asked: Asked) -> Page:
    """Lay out a movie's card and what is similar to it, or the movies that share its title.

    Args:
        found: what the store said.
        wanted: the id or title that was asked for.
        asked: the other options.
    """
    if found.candidates:
        return _candidates(found, wanted, asked)
    movie, items = found.movie, found.answer.items
    whose = f"movie {wanted if movie is None else movie.movie_id}"
    shadowed = None
    if movie is None:
        heading, card = "Popular movies", None
        fallback: str | None = words.unknown_note(items, wanted, found.meant)
    else:
        heading, card = f"Movies similar to {movie.title}", document.movie_object(movie)
        shadowed = words.shadowed_note(wanted, movie, found.titled)
        fallback = words.fallback_note(
            items, wanted="similar", whose=whose, filtered=asked.filtered
        )
    page = _listing(
        found.answer,
        asked,
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
    return replace(page, facts=_card(movie), notes=notes)


def search_page(
    found: Sequence[Movie], text: str, n: int, status: Status, *, partial: bool = False
) -> Page:
    """Lay out the movies whose titles match; the score is the number of ratings.

    Args:
        found: best match first.
        text: the search query.
        n: how many movies were asked for.
        status: of the live generation.
        partial: whether some of the words were enough, since no title has all of them.
    """
    none = "no title has all of these words, or words that begin so"
    notes = (f"{none}; these have some of them." if found else f"{none}, nor any of them.",)
    return Page(
        heading=f"Movies with {text} in the title",
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
        footer=words.generation_words(status.generation, status.age_seconds),
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
    asked: Asked,
    *,
    command: str,
    heading: str,
    fallback: str | None,
    query: Mapping[str, Any],
    whose: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Page:
    short = words.short_notes(answer, asked.n, whose=whose, available=asked.available)
    return Page(
        heading=heading,
        rows=tuple(
            Row(
                rank=rank,
                movie_id=item.movie_id,
                score=words.score_words(item.score, item.source),
                source=item.source,
                title=item.title,
                year=item.year,
                genres=item.genres,
                because="" if item.because is None else item.because.title,
            )
            for rank, item in enumerate(answer.items, start=1)
        ),
        notes=(*((fallback,) if fallback else ()), *short),
        footer=words.generation_words(answer.generation, answer.age_seconds),
        document={
            **_frame(command, answer, asked),
            "query": {**query, **asked.query},
            **more,
            "fallback": fallback is not None,
            "items": document.item_objects(answer.items),
            "notes": list(answer.notes),
        },
    )


def _candidates(found: Found, wanted: str, asked: Asked) -> Page:
    count = len(found.candidates)
    return Page(
        heading=f"{count} movies have the title {wanted}",
        rows=tuple(
            Row(rank, movie.movie_id, "", "candidate", movie.title, movie.year, movie.genres)
            for rank, movie in enumerate(found.candidates, start=1)
        ),
        footer=words.generation_words(found.answer.generation, found.answer.age_seconds),
        show_ids=True,
        error=UsageError(f"{count} movies have the title {wanted!r}; ask for one by its id"),
        document={
            **_frame("get-movie", found.answer, asked),
            "query": {"movie": wanted, **asked.query},
            "movie": None,
            "candidates": [document.movie_object(movie) for movie in found.candidates],
            "fallback": False,
            "items": [],
            "notes": [],
        },
    )


def _frame(command: str, answer: Answer, asked: Asked) -> dict[str, Any]:
    return document.frame(command, asked.namespace, answer.generation, answer.age_seconds)


def _card(movie: Movie) -> tuple[tuple[str, str], ...]:
    mean = "" if movie.mean_rating is None else f", mean {movie.mean_rating:.2f}"
    return (
        ("title", movie.title),
        ("id", movie.movie_id),
        ("genres", ", ".join(movie.genres) or "none listed"),
        ("ratings", f"{movie.rating_count:,}{mean}"),
    )
