"""Hindsight: what people did after a generation's data ended, looked up in the lists it served.

Nothing is held out and nothing is trained: the lists are those of the artifact, and the new
interactions decide. The same movies are also looked up in the generation's most rated movies
without those that the user had seen, which is what a job without models would have served. Reads
the folder of the artifact, no store.

Shapes: N new interactions, A users with any, C movies of the artifact, I movies of its catalogue
and of the data set together.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.manifests import NOT_MEASURED, number, section
from reco_batch.data import columns as c
from reco_batch.data.dataset import SECONDS_PER_DAY, Dataset, Histories, Ratings, histories
from reco_batch.evaluation.list_statistics import ids_of
from reco_batch.metrics.ranking_metrics import per_user_metrics, standard_error
from reco_batch.rules.repeats import may_return
from reco_batch.settings.rules import NEVER, days_after
from reco_store.contract.families import SEEN, USER, Family
from reco_store.contract.manifest import created_seconds

#: Metrics of the lists, as `metrics.ranking_metrics` names them.
METRICS: Final = ("hit@10", "recall@100", "ndcg@10")
#: First day of each band of ages of a list; the last band has no end.
AGES: Final = (0, 1, 2, 3, 7, 14, 30)
_KS: Final = (10, 100)
_LONGEST: Final = max(_KS)
_USERS_PER_BATCH: Final = 32_768
#: Cells of a tile of users and positions, and pairs of a block of users.
_CELLS: Final = 4_000_000
_DIGITS: Final = 6


def hindsight(
    artifact: Artifact,
    dataset: Dataset,
    *,
    among: NDArray[np.bool_] | None = None,
    since: float | None = None,
) -> dict[str, Any]:
    """Measure the user lists of a generation by the interactions after its data ended.

    New are the target interactions after the newest time in the generation's data; without times,
    those of pairs that its histories lack. A movie that lists do not show since the user had seen
    it is left out, and counted. A movie that the generation's catalogue lacked counts as missed.

    Args:
        artifact: of the generation that was served.
        dataset: today's input, which contains what people did since.
        among: [users of `dataset`] users who were served its lists; None: all.
        since: count interactions after this time, in seconds since 1970, if the generation's data
            ended before; None: after the end of its data.

    Returns:
        The manifest's section: `generation`; `since` and `until`, seconds since 1970, None without
        times; `users` with a list, and their new `interactions`; the means over these users of
        `METRICS` for the lists that were `served` and for the most `popular` movies; the mean and
        the standard error of the difference, `gain`; the same `by_age` of the list in days, with
        times; `new_users`, who had no list and were served popular movies; `repeats`,
        interactions that are left out; `new_movies`, interactions with movies that the catalogue
        lacked; `before_created`, interactions before the generation was made, when the one before
        it was served. Or `generation` and `not_measured`, the reason.

    Raises:
        NightFailed: a file of the artifact is damaged or missing.

    Cost:
        O(N + A * (100 + history)) time after one pass over the artifact's user lists and histories.
    """
    named = {"generation": artifact.generation}
    end = number(artifact.manifest, "data", "newest_rating")
    targets = _listed(dataset, among)
    if why := _why_not(end, targets, dataset):
        return {**named, NOT_MEASURED: why}
    start = end if end is None or since is None else max(end, since)
    if start is not None and targets.timestamp is not None:
        targets = targets.take(np.flatnonzero(targets.timestamp > start))
    users, row = np.unique(targets.user_index, return_inverse=True)
    past = _past(artifact, dataset, users)
    new = _New(row, past.index_of[targets.movie_index], targets.timestamp)
    has_list = past.has_list[new.row]
    is_seen = has_list & _is_among(new, past.left_out)
    found, strangers = new.take(has_list & ~is_seen), new.take(~has_list)
    return {
        **named,
        "since": None if start is None else int(start),
        "until": None if new.time is None else int(new.time.max(initial=int(start or 0))),
        **_figures(past, found),
        **({} if end is None else {"by_age": list(_by_age(past, found, end))}),
        "new_users": _of_strangers(past, strangers),
        "repeats": 0 if end is None else int(is_seen.sum()),
        "new_movies": int((found.movie >= past.catalogue).sum()),
        "before_created": _before_created(artifact, found),
    }


class _New(NamedTuple):
    """New interactions."""

    row: NDArray[np.int64]  # [N] user, as row of the lists
    movie: NDArray[np.int64]  # [N] index of the movie, below I
    time: NDArray[np.int64] | None  # [N] seconds since 1970

    def take(self, chosen: NDArray[np.bool_]) -> "_New":
        """Return some of the interactions."""
        time = None if self.time is None else self.time[chosen]
        return _New(self.row[chosen], self.movie[chosen], time)


class _Past(NamedTuple):
    """Everything that a generation contains about the users with new interactions."""

    served: NDArray[np.int32]  # [A, 100] user lists, padded with -1
    popular: NDArray[np.int32]  # [A, 100] most rated movies without `left_out`, as long
    left_out: Histories  # [A] movies that lists do not show, since the user had seen them
    has_list: NDArray[np.bool_]  # [A]
    catalogue: int
    """C; a movie with a higher index was added later."""
    index_of: NDArray[np.int64]  # [movies of the data set that may be listed] index, below I


def _listed(dataset: Dataset, among: NDArray[np.bool_] | None) -> Ratings:
    """Return the target interactions of the users, with movies that lists may show today."""
    targets = dataset.ratings.targets
    kept = targets.movie_index < dataset.movies.listed
    if among is not None:
        kept &= among[targets.user_index]
    return targets if kept.all() else targets.take(np.flatnonzero(kept))


def _why_not(end: float | None, targets: Ratings, dataset: Dataset) -> str:
    """Return why new interactions cannot be separated from old ones; empty if they can."""
    if (end is None) is not (targets.timestamp is None):
        return "only one of the two inputs has times"
    if end is not None or dataset.events is None:
        return ""
    unseen = ", ".join(sorted({*dataset.events.target} - {*dataset.events.seen}))
    return f"without times, and {unseen} is of no seen kind" if unseen else ""


def _past(artifact: Artifact, dataset: Dataset, users: NDArray[np.int32]) -> _Past:
    own = artifact.movie_ids()
    wanted = pa.array([dataset.user_ids[user] for user in users.tolist()], pa.string())
    lists, has_list = _rows(artifact, USER, wanted, own)
    seen, _ = _rows(artifact, SEEN, wanted, own)
    left_out = _left_out(artifact.manifest, seen, lists)
    k = number(artifact.manifest, "parameters", "k") or _LONGEST
    ours = pa.array(dataset.movies.ids[: dataset.movies.listed], pa.string())
    known = pc.index_in(ours, value_set=own.cast(pa.string())).fill_null(-1).to_numpy()
    added = len(own) + np.arange(len(ours))
    return _Past(
        _padded(lists.first(_LONGEST)),
        _without(left_out, _most_rated(artifact), min(_LONGEST, int(k))),
        left_out,
        has_list,
        len(own),
        np.where(known >= 0, known, added),
    )


def _left_out(manifest: Mapping[str, Any], seen: Histories, lists: Histories) -> Histories:
    """Return the movies that lists leave out since the user has seen them, [A].

    Which movies a rule lets return after some days depends on times that the artifact lacks; the
    list shows some of them. Without times only movies that the user had not seen are new.
    """
    parameters = section(manifest, "parameters")
    rule = section(parameters, "rules").get("seen", NEVER)
    kinds = section(parameters, "events").get("seen", ())
    rules = [rule] if isinstance(rule, str) else [rule.get(kind, NEVER) for kind in kinds]
    if not may_return(rule, kinds) or number(manifest, "data", "newest_rating") is None:
        return seen
    is_out = np.zeros(len(seen.movie_index), np.bool_)
    if any(days_after(one) != 0 for one in rules):
        width = 1 + int(max(one.movie_index.max(initial=0) for one in (seen, lists)))
        is_out = np.isin(_pairs(seen, width), _pairs(lists, width), invert=True)
    before = np.concatenate([[0], np.cumsum(is_out)])
    return Histories(before[seen.offsets], seen.movie_index[is_out])


def _pairs(rows: Histories, width: int) -> NDArray[np.int64]:
    """Return a number for each pair of a row and a movie below `width`."""
    row = np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
    return row * width + rows.movie_index


def _rows(
    artifact: Artifact, family: Family, wanted: pa.Array, own: pa.Array
) -> tuple[Histories, NDArray[np.bool_]]:
    """Return a family's lists of some users, one row each, and which of them have one, [A]."""
    places, counts, movies = [], [], []
    for batch in artifact.lists(family, rows=_USERS_PER_BATCH, columns=[c.SUFFIX, c.MOVIE_IDS]):
        place = pc.index_in(ids_of(batch.column(c.SUFFIX)), value_set=wanted)
        ids = batch.column(c.MOVIE_IDS).filter(place.is_valid())
        places.append(place.drop_null().to_numpy())
        counts.append(np.diff(ids.offsets.to_numpy()))
        movies.append(pc.index_in(ids.flatten(), value_set=own).fill_null(-1).to_numpy())
    place = _joined(places)
    row = np.full(len(wanted), len(place))  # an empty row after the last one
    row[place] = np.arange(len(place))
    ends = np.cumsum([0, *_joined(counts), 0])
    return Histories(ends, _joined(movies)).rows(row), row < len(place)


def _joined(parts: list[NDArray[Any]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *parts])


def _padded(lists: Histories) -> NDArray[np.int32]:
    """Return lists of up to 100 movies as rows, [A, 100]."""
    counts = np.diff(lists.offsets)
    rows = np.full((len(counts), _LONGEST), -1, np.int32)
    rows[np.arange(_LONGEST) < counts[:, np.newaxis]] = lists.movie_index
    return rows


def _most_rated(artifact: Artifact) -> NDArray[np.int32]:
    """Return the movies that lists might show, most rated first."""
    counts, eligible = artifact.rating_counts(), artifact.eligible()
    order = np.argsort(-counts, kind="stable").astype(np.int32)
    return order if eligible is None else order[eligible[order]]


def _without(left_out: Histories, order: NDArray[np.int32], longest: int) -> NDArray[np.int32]:
    """Return each user's first `longest` movies of one list without some, [A, 100]."""
    counts = np.diff(left_out.offsets)
    lists = np.full((len(counts), _LONGEST), -1, np.int32)
    place = np.full(1 + max(order.max(initial=0), left_out.movie_index.max(initial=0)), len(order))
    place[order] = np.arange(len(order))
    by_history = np.argsort(counts, kind="stable")  # users of a tile need about as much of it
    width = longest + counts[by_history]  # of the tile that ends with each user
    start = 0
    while start < len(by_history):
        cells = width[start:] * np.arange(1, len(width) - start + 1)
        size = max(1, int(np.searchsorted(cells, _CELLS, side="right")))
        users = by_history[start : start + size]
        reach = order[: longest + counts[users[-1]]]
        is_left = np.ones((len(users), len(reach)), np.bool_)
        rows = left_out.rows(users)
        row, at = np.repeat(np.arange(len(users)), np.diff(rows.offsets)), place[rows.movie_index]
        is_left[row[at < len(reach)], at[at < len(reach)]] = False
        row, at = np.nonzero(is_left)
        rank = np.arange(len(row)) - np.searchsorted(row, np.arange(len(users)))[row]
        shown = rank < longest
        lists[users[row[shown]], rank[shown]] = reach[at[shown]]
        start += size
    return lists


def _is_among(new: _New, rows: Histories) -> NDArray[np.bool_]:
    """Return which interactions are with a movie in the user's row, [N].

    Without times all interactions of the input come here: in blocks of users the sorts are small.
    """
    found = np.zeros(len(new.row), np.bool_)
    width = 1 + int(max(new.movie.max(initial=0), rows.movie_index.max(initial=0)))
    blocks = (len(new.row) + len(rows.movie_index)) // _CELLS + 1
    for users in np.array_split(np.arange(len(rows.offsets) - 1), blocks):
        if not len(users):
            continue
        own = np.flatnonzero((new.row >= users[0]) & (new.row <= users[-1]))
        pairs = (new.row[own] - users[0]) * width + new.movie[own]
        found[own] = np.isin(pairs, _pairs(rows.rows(users), width), assume_unique=True)
    return found


def _relevant(past: _Past, new: _New) -> tuple[Histories, NDArray[np.int64]]:
    """Return the new movies of each user, and the users with any."""
    pairs = Ratings(new.row.astype(np.int32), new.movie.astype(np.int32), None, None)
    relevant = histories(pairs, user_count=len(past.has_list))
    return relevant, np.flatnonzero(np.diff(relevant.offsets))


def _figures(past: _Past, new: _New) -> dict[str, Any]:
    """Return the figures of both kinds of lists; without an interaction only their number."""
    relevant, users = _relevant(past, new)
    counted = {"users": len(users), "interactions": len(new.row)}
    if not len(users):
        return counted
    served, popular = (_measured(lists, relevant, users) for lists in (past.served, past.popular))
    gain = {name: served[name] - popular[name] for name in METRICS}
    return {
        **counted,
        "served": _means(served),
        "popular": _means(popular),
        "gain": {
            name: {
                "mean": round(float(values.mean()), _DIGITS),
                "standard_error": round(standard_error(values), _DIGITS),
            }
            for name, values in gain.items()
        },
    }


def _measured(
    lists: NDArray[np.int32], relevant: Histories, users: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Return each metric of the users' lists, [len(users)]."""
    blocks = [
        per_user_metrics(lists[some], relevant, some, ks=_KS)
        for some in np.array_split(users, len(users) * _LONGEST // _CELLS + 1)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in METRICS}


def _means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: round(float(own.mean()), _DIGITS) for name, own in values.items()}


def _by_age(past: _Past, new: _New, end: float) -> Iterator[dict[str, Any]]:
    """Yield the figures of each band of ages of the list in which people did something."""
    if new.time is None:
        return
    band = np.searchsorted(AGES, (new.time - end) / SECONDS_PER_DAY, side="right") - 1
    for place in np.unique(band).tolist():
        until = AGES[place + 1] if place + 1 < len(AGES) else None
        yield {"from_day": AGES[place], "to_day": until, **_figures(past, new.take(band == place))}


def _of_strangers(past: _Past, new: _New) -> dict[str, Any]:
    """Return the figures of the users without a list, who were served popular movies."""
    relevant, users = _relevant(past, new)
    counted = {"users": len(users), "interactions": len(new.row)}
    if not len(users):
        return counted
    return {**counted, "popular": _means(_measured(past.popular, relevant, users))}


def _before_created(artifact: Artifact, new: _New) -> int:
    """Return how many interactions are older than the generation itself; 0 without times."""
    return 0 if new.time is None else int((new.time < created_seconds(artifact.manifest)).sum())
