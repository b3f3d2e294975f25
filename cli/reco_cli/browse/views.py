"""Content of each page, read from the store, as plain values for its template."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from reco_cli import list_pages, page_texts
from reco_cli.browse.comparison import Mark, compare
from reco_cli.browse.shelf import Choice, Shelf, Source
from reco_cli.document import flattened
from reco_cli.live_states import read_live_states
from reco_cli.lookup import look_up
from reco_cli.page import ListOptions, Page
from reco_cli.status_pages import status_page
from reco_store import Answer, Item, Movie, NothingPublished, Reader, Reason, Status, UsageError
from reco_store.contract.words import DEFAULT_WORDS, Words, words_of

Query = Mapping[str, str]

LENGTHS: Final = (10, 20, 50, 100)
KINDS: Final = ("most-rated", "highest-rated", "trending", "new")
_HISTORY: Final = 50
_WHOLE_HISTORY: Final = 2_000
_SUGGESTED: Final = 8
_BEST_STARS: Final = 5.0
#: Sources of the lists that a person asks for; any other one is a fallback, or popular.
_OWN: Final = frozenset({"personal", "ranked", "similar", "for_ratings"})
#: Values of the overview before the first generation of a namespace is served.
_NOTHING_LIVE: Final[dict[str, Any]] = {
    "title": "Nothing is live",
    "facts": (),
    "notes": ["Readers get an error until a generation is served."],
    "live": None,
    "has_report": False,
    "adapt": DEFAULT_WORDS.adapt,
}


class Line(NamedTuple):
    """Row of a list."""

    rank: int
    movie_id: str
    title: str
    details: str
    """Genres, and the year unless the title has it."""
    score: str
    source: str
    """Name of the list that the movie comes from; empty if it is the requested one."""
    because: Reason | None
    mark: Mark
    is_seen: bool
    """True if the user rated the movie."""


class Listing(NamedTuple):
    """One list of a page."""

    heading: str
    notes: tuple[str, ...]
    footer: str
    lines: tuple[Line, ...]


class Rated(NamedTuple):
    """Row of a history."""

    movie_id: str
    title: str
    details: str
    explains: int
    """Number of recommended movies that this rating explains."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Sources that the address of a page names."""

    choices: list[Choice]
    source: Source
    other: Source | None
    """Source to compare with; None without a comparison."""

    def label(self, source: Source) -> str:
        """Return a source in words."""
        known = (choice.label for choice in self.choices if choice.source == source)
        return next(known, source.generation or source.namespace)


def overview(shelf: Shelf, _: Query) -> dict[str, Any]:
    """Return the figures of what is live, and the generations in the store.

    Raises:
        NothingPublished: nothing is live, and no generation is complete.
    """
    stored = [(one, shelf.report_of(one.generation) is not None) for one in shelf.generations()]
    common = {"stored": stored, "namespace": shelf.own.namespace}
    try:
        found = read_live_states(shelf.where, [shelf.own.namespace], with_arms=True)
    except NothingPublished:
        if not stored:
            raise
        return {**common, **_NOTHING_LIVE}
    page = status_page(found, shelf.where.label, every=False)
    live = found.namespaces[0].status
    return {
        **common,
        "title": page.heading,
        "facts": page.facts,
        "notes": [*page.notes, *([str(page.error)] if page.error else [])],
        "live": live,
        "has_report": live is not None and shelf.report_of(live.generation) is not None,
        "adapt": words_of(None if live is None else live.manifest).adapt,
    }


def user(shelf: Shelf, query: Query) -> dict[str, Any]:
    """Return a user's list and history, and the same user's list in another generation or arm."""
    user_id = _required(query, "id")
    chosen, options = _chosen(shelf, query), _options(shelf, query)
    ranked = query.get("list") == "ranked"
    seen = shelf.read(chosen.source, lambda reader: reader.seen(user_id))
    first = shelf.read(chosen.source, _list_of(user_id, options, ranked=ranked))
    lists = [(chosen.source, first, user_page(first, user_id, options, ranked=ranked))]
    marks: list[Sequence[Mark]] = [()]
    shared = None
    if chosen.other is not None:
        second = shelf.read(chosen.other, _list_of(user_id, options, ranked=ranked))
        page = user_page(second, user_id, options, ranked=ranked)
        lists.append((chosen.other, second, page))
        compared = compare(first.items, second.items)
        marks, shared = [compared.first, compared.second], compared.shared
    shown = seen if query.get("history") == "all" else seen[:_HISTORY]
    status = shelf.read(chosen.source, lambda reader: reader.status())
    experiment = shelf.read(shelf.own, lambda reader: reader.experiment())
    return {
        **_common(shelf, query, chosen),
        "adapt": first.words.adapt,
        "title": f"User {user_id}",
        "user_id": user_id,
        "ranked": ranked,
        "has_ranked": bool(status.counts.get("ranked")),
        "listings": [
            _listing(chosen.label(source), page, answer, own, frozenset(seen))
            for (source, answer, page), own in zip(lists, marks, strict=True)
        ],
        "shared": shared,
        "history": _history(shelf, chosen.source, shown[:_WHOLE_HISTORY], first),
        "rated": len(seen),
        "rules": _rules(status),
        "hidden_movies": status.hidden,
        "arm": None if experiment is None else (experiment.name, experiment.assign(user_id)),
    }


def user_page(answer: Answer, user_id: str, options: ListOptions, *, ranked: bool) -> Page:
    """Return the page of `reco get-user` or `get-ranked`, with its notes."""
    if ranked:
        return list_pages.ranked_page(answer, user_id, options)
    return list_pages.user_page(answer, user_id, options, why=True)


def movie(shelf: Shelf, query: Query) -> dict[str, Any]:
    """Return a movie with its similar and its next movies, or the movies that share its title."""
    wanted = _required(query, "id")
    chosen, options = _chosen(shelf, query), _options(shelf, query)
    found = shelf.read(chosen.source, lambda reader: look_up(reader, wanted, options.choice))
    page = list_pages.movie_page(found, wanted, options)
    words = found.answer.words
    common = {
        **_common(shelf, query, chosen),
        "adapt": words.adapt,
        "wanted": wanted,
        "candidates": [_card_line(each, words) for each in found.candidates],
    }
    if found.movie is None:
        lists = (
            []
            if found.candidates
            else [_listing(found.answer.words.adapt("Popular movies"), page, found.answer)]
        )
        return {**common, "title": wanted, "card": None, "listings": lists}
    movie_id = found.movie.movie_id
    status = shelf.read(chosen.source, lambda reader: reader.status())
    best = (status.manifest.get("rating_scale") or (0, _BEST_STARS))[1]
    following = shelf.read(
        chosen.source, lambda reader: reader.for_ratings({movie_id: best}, **options.choice)
    )
    next_page = list_pages.for_ratings_page(following, {movie_id: best}, options)
    return {
        **common,
        "title": found.movie.title,
        "card": page.facts[1:],  # the title is the heading
        "listings": [
            _listing("Similar", page, found.answer),
            _listing(
                words.adapt("Next, for a user of whom only this rating is known"),
                next_page,
                following,
                explained=False,  # each by this movie
            ),
        ],
    }


def popular(shelf: Shelf, query: Query) -> dict[str, Any]:
    """Return a popular list, of one genre or of all."""
    chosen, options = _chosen(shelf, query), _options(shelf, query)
    by, genre = query.get("by") or KINDS[0], query.get("genre") or None
    answer = shelf.read(
        chosen.source,
        lambda reader: reader.popular(by.replace("-", "_"), genre, **options.choice),
    )
    status = shelf.read(chosen.source, lambda reader: reader.status())
    page = list_pages.popular_page(answer, by, genre, options)
    return {
        **_common(shelf, query, chosen),
        "adapt": answer.words.adapt,
        "title": page.heading,
        "by": by,
        "kinds": popular_kinds(answer.words),
        "genre": genre,
        "genres": sorted(map(str, status.manifest.get("genres") or ())),
        "listings": [_listing(page.heading, page, answer, own=frozenset({by.replace("-", "_")}))],
    }


def popular_kinds(words: Words) -> dict[str, str]:
    """Return the label of each kind of popular list; nothing is rated highest without stars."""
    has_stars = words.interacted == DEFAULT_WORDS.interacted
    kinds = [kind for kind in KINDS if has_stars or kind != "highest-rated"]
    return {
        kind: page_texts.source_words(kind.replace("-", "_"), words).capitalize() for kind in kinds
    }


def search(shelf: Shelf, query: Query) -> dict[str, Any]:
    """Return the movies whose titles have the words."""
    text = query.get("q", "").strip()
    chosen, options = _chosen(shelf, query), _options(shelf, query)
    words = words_of(shelf.read(chosen.source, lambda reader: reader.status()).manifest)
    found: tuple[Movie, ...] = ()
    partial = False
    if text:
        found = shelf.read(chosen.source, _search(text, options.n))
        if not found:
            found = shelf.read(chosen.source, _search(text, options.n, partial=True))
            partial = bool(found)
    return {
        **_common(shelf, query, chosen),
        "adapt": words.adapt,
        "title": f"{words.adapt('Movies')} with {text} in the title" if text else "Search",
        "text": text,
        "partial": partial,
        "found": [_card_line(each, words) for each in found],
    }


def suggestions(shelf: Shelf, query: Query) -> list[dict[str, str]]:
    """Return movies for a title that is still being typed: id, title and details."""
    text = query.get("q", "").strip()
    try:
        source = _chosen(shelf, query).source
        found = shelf.read(source, _search(text, _SUGGESTED)) if text else ()
    except UsageError:  # no word yet, such as a lone apostrophe
        found = ()
    return [{"id": each.movie_id, "title": each.title, "details": _details(each)} for each in found]


def _search(text: str, n: int, *, partial: bool = False) -> Callable[[Reader], tuple[Movie, ...]]:
    return lambda reader: reader.search(text, n=n, partial=partial)


def _list_of(user_id: str, options: ListOptions, *, ranked: bool) -> Callable[[Reader], Answer]:
    if ranked:
        return lambda reader: reader.ranked(user_id, **options.choice)
    return lambda reader: reader.user(user_id, why=True, **options.choice)


def _required(query: Query, name: str) -> str:
    """Return a parameter of the address.

    Raises:
        UsageError: it is missing or empty.
    """
    value = query.get(name, "").strip()
    if not value:
        raise UsageError(f"the address has no {name}; expected ?{name}= and an id")
    return value


def _options(shelf: Shelf, query: Query) -> ListOptions:
    """Return the length of the lists as options of a listing.

    Raises:
        UsageError: it is none of the lengths that the pages offer.
    """
    text = query.get("n") or str(LENGTHS[1])
    if text not in map(str, LENGTHS):
        raise UsageError(f"n={text!r}: expected one of {', '.join(map(str, LENGTHS))}")
    return ListOptions(shelf.own.namespace, int(text))


def _chosen(shelf: Shelf, query: Query) -> Chosen:
    choices = shelf.choices()
    at, other = query.get("at", ""), query.get("with", "")
    source = shelf.source_of(at, choices) if at else shelf.own
    return Chosen(choices, source, shelf.source_of(other, choices) if other else None)


def _common(shelf: Shelf, query: Query, chosen: Chosen) -> dict[str, Any]:
    """Return the values of every page whose source and length can be chosen."""
    return {
        "choices": chosen.choices,
        "at": None if chosen.source == shelf.own else chosen.source.text,
        "source": chosen.source,
        "source_label": chosen.label(chosen.source),
        "other": None if chosen.other is None else chosen.other.text,
        "n": int(query.get("n") or LENGTHS[1]),
        "lengths_all": LENGTHS,
    }


def _listing(
    heading: str,
    page: Page,
    answer: Answer,
    marks: Sequence[Mark] = (),
    seen: frozenset[str] = frozenset(),
    *,
    own: frozenset[str] = _OWN,
    explained: bool = True,
) -> Listing:
    none = Mark("", "")
    lines = (
        Line(
            rank=row.rank,
            movie_id=item.movie_id,
            title=item.title,
            details=_details(item),
            score=row.score,
            source="" if item.source in own else page_texts.source_words(item.source, answer.words),
            because=item.because if explained else None,
            mark=marks[row.rank - 1] if marks else none,
            is_seen=item.movie_id in seen,
        )
        for row, item in zip(page.rows, answer.items, strict=True)
    )
    return Listing(heading, page.notes, page.footer, tuple(lines))


def _history(shelf: Shelf, source: Source, movie_ids: Sequence[str], answer: Answer) -> list[Rated]:
    """Return the rated movies, each with the number of recommendations that it explains."""
    labels = shelf.read(source, lambda reader: reader.movies(movie_ids))
    reasons = Counter(item.because.movie_id for item in answer.items if item.because)
    return [
        Rated(
            movie_id,
            movie_id if label is None else label.title,
            "" if label is None else _details(label),
            reasons[movie_id],
        )
        for movie_id, label in zip(movie_ids, labels, strict=True)
    ]


def _details(item: Item | Movie) -> str:
    """Return genres, and the year unless the title ends with it."""
    in_title = page_texts.bare_title(item.title, item.year) != item.title
    year = [] if item.year is None or in_title else [str(item.year)]
    return " · ".join([*year, *([", ".join(item.genres)] if item.genres else [])])


def _card_line(card: Movie, words: Words) -> dict[str, str]:
    name, value = page_texts.rating_fact(card, words)
    if name == words.interactions:  # `3 ratings, mean 2.50`, but `chosen by 3 users`
        count, *mean = value.split(", ")
        ratings = ", ".join([f"{count} {name}", *mean])
    else:
        ratings = f"{name} {value}"
    return {
        "movie_id": card.movie_id,
        "title": card.title,
        "details": " · ".join(filter(None, (_details(card), ratings))),
    }


def _rules(status: Status) -> list[tuple[str, str]]:
    """Return the rules of the run, as dotted names and texts."""
    parameters = status.manifest.get("parameters")
    rules = parameters.get("rules") if isinstance(parameters, Mapping) else None
    return list(flattened({"rules": rules})) if rules else []


def moment(text: str) -> str:
    """Return an ISO 8601 time to the minute, in UTC; any other text as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
