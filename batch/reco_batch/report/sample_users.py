"""Sample of users: the history and the list of each.

Users are sorted by number of ratings and cut into equal parts; one is drawn from each part with the
run's random seed, so short and long histories are both in the sample.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reco_batch.artifact.folder import Artifact
from reco_batch.data import columns as c
from reco_batch.evaluation.list_statistics import ids_of
from reco_batch.metrics.rank_overlap import TOP
from reco_batch.report.text import safe
from reco_store.contract.families import SEEN, USER, Family
from reco_store.contract.keys import family_suffix

USERS: Final = 20
_GENRES: Final = 3


class Card(NamedTuple):
    """Title, year and genres of a movie."""

    title: str
    year: str
    genres: tuple[str, ...]


class Shown(NamedTuple):
    """Movie in a list."""

    card: Card
    new: bool
    """True if it is not in the last run's top-10."""


class SampleUser(NamedTuple):
    """User with history and list."""

    user_id: str
    rated: int
    """Number of ratings."""
    history: list[Card]
    history_genres: str
    shown: list[Shown]
    shown_genres: str
    kept: int | None
    """Movies shared with the last run's top-10; None if that run has no list."""


def sample_users(artifact: Artifact, before: Artifact | None, *, seed: int) -> list[SampleUser]:
    """Draw users and return them, fewest ratings first.

    Args:
        artifact: artifact of the run.
        before: artifact of the last run.
        seed: random seed of the sample.

    Raises:
        NightFailed: a file of an artifact is damaged or missing.
    """
    lengths = _sample(artifact, seed)
    seen = _top10(artifact, SEEN, lengths)
    now = _top10(artifact, USER, lengths)
    then = {} if before is None else _top10(before, USER, lengths)
    cards = cards_of(artifact, {i for one in (seen, now) for ids in one.values() for i in ids})
    return [
        _user(user, rated, (seen.get(user, []), now.get(user, []), then.get(user)), cards)
        for user, rated in lengths.items()
    ]


def cards_of(artifact: Artifact, ids: Iterable[str]) -> dict[str, Card]:
    """Return the cards of movies by id; movies that the catalogue lacks are left out."""
    wanted = pa.array(sorted(ids), pa.string())
    cards = {}
    for batch in artifact.movies():
        inside = batch.filter(pc.is_in(batch.column(c.MOVIE_ID), value_set=wanted))
        for movie in inside.to_pylist():
            year, title = movie[c.YEAR], movie[c.TITLE]
            if year is not None:
                title = title.removesuffix(f" ({year})")
            genres = tuple(safe(genre, 24) for genre in movie[c.GENRES])
            cards[movie[c.MOVIE_ID]] = Card(safe(title), "" if year is None else str(year), genres)
    return cards


def _sample(artifact: Artifact, seed: int) -> dict[str, int]:
    """Return ids and numbers of ratings of the sample, fewest first."""
    lengths = np.concatenate(
        [
            np.zeros(0, np.int64),
            *(np.diff(b.column(c.MOVIE_IDS).offsets.to_numpy()) for b in artifact.lists(SEEN)),
        ]
    )
    rng = np.random.default_rng(seed)
    parts = np.array_split(np.argsort(lengths, kind="stable"), USERS)
    rows = sorted(int(rng.choice(part)) for part in parts if len(part))
    names: dict[str, int] = {}
    start = 0
    for batch in artifact.lists(SEEN):
        inside = [row - start for row in rows if start <= row < start + len(batch)]
        ids = ids_of(batch.column(c.SUFFIX).take(pa.array(inside, pa.int64()))).to_pylist()
        names |= {name: int(lengths[start + row]) for name, row in zip(ids, inside, strict=True)}
        start += len(batch)
    return dict(sorted(names.items(), key=lambda pair: (pair[1], pair[0])))


def _top10(artifact: Artifact, family: Family, users: Iterable[str]) -> dict[str, list[str]]:
    wanted = pa.array([family_suffix(family, user) for user in users], pa.string())
    found = {}
    for batch in artifact.lists(family):
        inside = batch.filter(pc.is_in(batch.column(c.SUFFIX), value_set=wanted))
        for row in inside.to_pylist():
            user = row[c.SUFFIX].partition(":")[2]
            found[user] = [str(movie) for movie in row[c.MOVIE_IDS][:TOP]]
    return found


def _user(
    user: str,
    rated: int,
    lists: tuple[list[str], list[str], list[str] | None],
    cards: Mapping[str, Card],
) -> SampleUser:
    seen, now, then = lists
    history = [_card(movie, cards) for movie in seen]
    shown = [
        Shown(_card(movie, cards), new=then is not None and movie not in then) for movie in now
    ]
    return SampleUser(
        safe(user),
        rated,
        history,
        _genres(history),
        shown,
        _genres([one.card for one in shown]),
        None if then is None else len(set(then) & set(now)),
    )


def _card(movie_id: str, cards: Mapping[str, Card]) -> Card:
    return cards.get(movie_id, Card(safe(movie_id), "", ()))


def _genres(cards: Iterable[Card]) -> str:
    counts = Counter(genre for card in cards for genre in card.genres)
    return ", ".join(genre for genre, _ in counts.most_common(_GENRES))
