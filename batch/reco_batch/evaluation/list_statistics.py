"""Statistics of an artifact's lists, counted in one pass over each Parquet file.

Lists are read a few thousand at a time and measured in tiles that fit in the processor's cache.
Memory grows with the users by 8 bytes each, apart from a bounded sample. Thresholds, and the
comparison with the live generation, are in `gate`.

Shapes: R lists in a tile, E movies in all its lists, I movies of the catalogue.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_batch.artifact.folder import Artifact
from reco_batch.artifact.stored_models import trained_counts
from reco_batch.data import columns as c
from reco_batch.data.dataset import Histories
from reco_batch.evaluation.cap_breaches import CapBreaches
from reco_batch.evaluation.top10_diversity import Tile, Top10Diversity, Top10Figures
from reco_batch.metrics.rank_overlap import TOP
from reco_batch.rules.list_rules import Cap
from reco_batch.rules.repeats import may_return
from reco_batch.scoring.popularity import count_tiers
from reco_batch.scoring.uncertainty import doubt_of
from reco_batch.settings.hyperparameters import RankBy
from reco_batch.settings.rules import NEVER
from reco_store.contract.families import LISTS, POPULAR, RANKED, SEEN, USER, Family
from reco_store.contract.keys import BY_HIGHEST_RATED, popular_suffix

#: Lists sampled from each family, evenly spaced, for the comparison with the live generation.
SAMPLE_LISTS: Final = 2000
#: Rounding error of adding what was subtracted from a predicted rating.
_ROUNDING: Final = 1e-5
_ENTRIES_PER_BATCH: Final = 1_000_000
#: [R, I] cells of a tile: 8 MB of int32.
_CELLS: Final = 2_000_000
#: Families that `measure` reads: all but explanations, which `gate.explanation_checks` reads.
MEASURED: Final = tuple(family for family in LISTS if not family.explains)
#: Ratings a movie needs for its scores to be judged; with fewer, all may be equal.
ENOUGH_RATINGS: Final = 3


@dataclass(slots=True)
class ListFigures:
    """Statistics of one family of lists."""

    entries: int = 0
    """Movies in all lists together."""
    sampled: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    """User or movie id -> top of its list, as catalogue indices; whole histories for `seen`."""
    lists: int = 0
    """Number of lists."""
    full: int = 0
    """Lists with k movies, or with all eligible movies that are not excluded."""
    misplaced: int = 0
    """Lists in another row than the history, or the movie, that they must leave out."""
    duplicates: int = 0
    """Lists with a movie twice."""
    excluded: int = 0
    """Lists with a movie that they must leave out: a seen one, or the movie itself."""
    unknown: int = 0
    """Lists with a movie that is not in the catalogue."""
    ineligible: int = 0
    """Lists with a movie that the rules allow in no list."""
    over_cap: int = 0
    """Lists that exceed a cap although movies were left that it allows."""
    not_finite: int = 0
    """Lists with a score that is not finite."""
    unordered: int = 0
    """Lists whose scores rise."""
    judged: int = 0
    """Lists whose scores should differ: all of users, and of movies with enough ratings."""
    flat: int = 0
    """Judged lists of two movies or more that all have the same score."""


class Measured(NamedTuple):
    """Statistics of all lists of an artifact."""

    movies: int
    """Movies of the catalogue."""
    families: dict[str, ListFigures]
    top10: Top10Figures
    index_of: dict[str, int]
    """Movie id -> catalogue index."""


def measure(artifact: Artifact, *, k: int, ranked_k: int | None) -> Measured:
    """Return the statistics of all lists of an artifact.

    Args:
        artifact: a complete artifact.
        k: expected length of user, similar and next lists.
        ranked_k: expected length of ranked lists; None for all movies.

    Cost:
        About 60 ns per movie in a list, a third of it for reading Parquet (26 million movies in
        1.6 s on one processor); 200 MB at peak, independent of the number of users.
    """
    catalogue = artifact.movie_ids()
    counts = artifact.rating_counts()
    rules = _Rules.of(artifact)
    top10 = Top10Diversity(counts, eligible=int(rules.eligible.sum()))
    lengths = {"k": k, "ranked_k": ranked_k}
    families = {}
    for family in MEASURED:
        if family.is_later and not artifact.has_lists(family):
            continue
        measured = _Family(
            artifact,
            family,
            catalogue,
            lengths.get(family.length),
            doubt=_doubt(artifact) if family == RANKED else None,
            judged=counts >= ENOUGH_RATINGS if family.per == "movie" else None,
            tiers=_tiers(artifact) if family == POPULAR else None,
            rules=rules,
        )
        families[family.name] = measured.run(
            _excluded(artifact, family, catalogue), top10 if family == USER else None
        )
    ids = catalogue.cast(pa.string()).to_pylist()
    index_of = {movie_id: index for index, movie_id in enumerate(ids)}
    return Measured(len(catalogue), families, top10.figures(), index_of)


def _doubt(artifact: Artifact) -> NDArray[np.float32] | None:
    """Return the uncertainty that ranking subtracts from predicted ratings, [I]; None for none."""
    if artifact.manifest.get("parameters", {}).get("rank_by") != RankBy.BOUND:
        return None
    return doubt_of(trained_counts(artifact))


def _tiers(artifact: Artifact) -> NDArray[np.int64] | None:
    """Return each movie's tier in the highest-rated lists, [I]; None without a threshold."""
    more_than = artifact.manifest.get("parameters", {}).get("count_threshold")
    return None if more_than is None else count_tiers(artifact.rating_counts(), more_than)


def _excluded(
    artifact: Artifact, family: Family, catalogue: pa.Array
) -> Iterator[pa.RecordBatch] | None:
    """Return the movies that each list of a family must leave out; None if it leaves out none."""
    if family.excludes == "seen":
        return artifact.lists(SEEN)
    return _itself(catalogue, family) if family.excludes == "itself" else None


def seen_rule(manifest: Mapping[str, Any]) -> tuple[str | Mapping[str, str], Sequence[str]]:
    """Return `[rules] seen` of a run, and the kinds of events of its histories."""
    parameters = manifest.get("parameters", {})
    rule = parameters.get("rules", {}).get("seen", NEVER)
    return rule, parameters.get("events", {}).get("seen", ())


class _Rules(NamedTuple):
    """Facts about the rules of a run that decide how its lists are judged."""

    eligible: NDArray[np.bool_]
    """Movies that lists may show, [I]."""
    caps: tuple[Cap, ...]
    """Caps of the user lists."""
    repeats: bool
    """True if lists of users may show movies of their history."""
    reorders: bool
    """True if the scores of user lists may rise."""

    @classmethod
    def of(cls, artifact: Artifact) -> "_Rules":
        """Return the facts in an artifact's manifest and catalogue."""
        rules = artifact.manifest.get("parameters", {}).get("rules", {})
        eligible = artifact.eligible()
        return cls(
            np.ones(len(artifact.movie_ids()), np.bool_) if eligible is None else eligible,
            artifact.caps(),
            may_return(*seen_rule(artifact.manifest)),
            any(name in rules for name in ("cap", "new", "diversity")),
        )


class _Family:
    """Accumulator of the statistics of one family."""

    def __init__(
        self,
        artifact: Artifact,
        family: Family,
        catalogue: pa.Array,
        k: int | None,
        *,
        doubt: NDArray[np.float32] | None = None,
        judged: NDArray[np.bool_] | None = None,
        tiers: NDArray[np.int64] | None = None,
        rules: _Rules,
    ) -> None:
        self._family = family
        # The last one is for movies that the catalogue lacks, which are counted as unknown.
        self._eligible = np.append(rules.eligible, True)
        self._caps = CapBreaches(rules.caps if family == USER else (), rules.eligible)
        self._may_repeat = rules.repeats and family.excludes == "seen"
        self._may_rise = rules.reorders and family == USER
        self._doubt, self._judged, self._tiers = doubt, judged, tiers
        self._catalogue = catalogue
        self._count = max(1, len(catalogue))
        self._k = self._count if k is None else k
        rows = int(np.clip(_ENTRIES_PER_BATCH // min(self._k, self._count), 16, 4096))
        self._batches = artifact.lists(family, rows=rows)
        self._every = max(1, int(artifact.manifest["counts"].get(family.name, 0)) // SAMPLE_LISTS)
        self._tile_rows = max(1, _CELLS // self._count)
        self._owner = np.zeros(min(self._tile_rows, 4096) * self._count, np.int32)
        self._figures = ListFigures()

    def run(
        self, excluded: Iterator[pa.RecordBatch] | None, top10: Top10Diversity | None = None
    ) -> ListFigures:
        """Return the statistics of all lists.

        Args:
            excluded: movies that each list must leave out, in the order of the lists.
            top10: receives the lists, too.
        """
        pairs = (
            ((batch, None) for batch in self._batches)
            if excluded is None
            else side_by_side(self._batches, excluded)
        )
        for batch, left_out in pairs:
            if batch is None:
                continue  # users without a list: the count of lists shows that
            self._measure_batch(batch, left_out, top10, misplaced=excluded is not None)
        return self._figures

    def _measure_batch(
        self,
        batch: pa.RecordBatch,
        left_out: pa.RecordBatch | None,
        top10: Top10Diversity | None,
        *,
        misplaced: bool,
    ) -> None:
        figures = self._figures
        lists = self._indexed(batch.column(c.MOVIE_IDS))
        scores = (
            batch.column(c.SCORES).flatten().to_numpy(zero_copy_only=False)
            if c.SCORES in batch.schema.names
            else None
        )
        excluded = None if left_out is None else self._indexed(left_out.column(c.MOVIE_IDS))
        if left_out is not None:
            figures.misplaced += self._misplaced(batch, left_out)
        elif misplaced:
            figures.misplaced += len(batch)
        tiers = None if self._tiers is None else self._tiers_of(batch, lists, self._tiers)
        for start in range(0, len(batch), min(self._tile_rows, 4096)):
            stop = min(start + min(self._tile_rows, 4096), len(batch))
            part = lists.block(start, stop)
            first, last = lists.offsets[start], lists.offsets[stop]
            tile = Tile(
                part.movie_index,
                part.offsets,
                np.repeat(np.arange(stop - start), np.diff(part.offsets)),
                None if scores is None else scores[first:last],
                None if excluded is None else excluded.block(start, stop),
                None if tiers is None else tiers[first:last],
                self._judged_rows(figures.lists + start, stop - start),
            )
            self._measure_tile(tile)
            if top10 is not None:
                top10.add(tile)
        self._sample(batch, lists)
        figures.lists += len(batch)
        figures.entries += len(lists.movie_index)

    def _measure_tile(self, tile: Tile) -> None:
        figures, rows = self._figures, len(tile.offsets) - 1
        known = tile.items >= 0
        figures.unknown += _rows(tile.row[~known], rows)
        lengths = np.diff(tile.offsets)
        if tile.excluded is not None:
            left_out = self._eligible[tile.excluded.movie_index] & (tile.excluded.movie_index >= 0)
            row = np.repeat(np.arange(rows), np.diff(tile.excluded.offsets))
            left = self._eligible[:-1].sum() - np.bincount(row[left_out], minlength=rows)
            figures.full += int((lengths >= np.minimum(self._k, left)).sum())
        if self._family != SEEN:
            figures.ineligible += _rows(tile.row[~self._eligible[tile.items]], rows)
            figures.over_cap += self._caps.count(tile)
        position = tile.row[known] * self._count + tile.items[known]  # [E] cell of [R, I]
        order = np.arange(len(position), dtype=np.int32)
        # Each cell keeps the entry that wrote it last, so an entry that finds another one in its
        # cell is a duplicate. A cell is of this tile only if the entry that it names has this cell,
        # so the buffer needs no clearing.
        self._owner[position] = order
        figures.duplicates += _rows(tile.row[known][self._owner[position] != order], rows)
        if tile.excluded is not None and len(position) and not self._may_repeat:
            row = np.repeat(np.arange(rows), np.diff(tile.excluded.offsets))
            cell = (row * self._count + tile.excluded.movie_index)[tile.excluded.movie_index >= 0]
            writer = np.minimum(self._owner[cell], len(position) - 1)
            shown = cell[position[writer] == cell]
            figures.excluded += _rows(shown // self._count, rows)
        if tile.scores is not None:
            self._measure_scores(tile, tile.scores, lengths)

    def _judged_rows(self, first: int, rows: int) -> NDArray[np.bool_] | None:
        """Return the rows of a block whose scores should differ, [R]; None for all."""
        if self._judged is None:
            return None
        known = self._judged[first : first + rows]
        return np.pad(known, (0, rows - len(known)), constant_values=True)

    def _tiers_of(
        self, batch: pa.RecordBatch, lists: Histories, tiers: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the tier of each movie in its list, [E]; 0 in lists without tiers."""
        highest = pc.starts_with(batch.column(c.SUFFIX), popular_suffix(BY_HIGHEST_RATED))
        row = np.repeat(np.arange(len(batch)), np.diff(lists.offsets))
        parted = highest.to_numpy(zero_copy_only=False)[row] & (lists.movie_index >= 0)
        return np.where(parted, tiers[lists.movie_index], 0)

    def _measure_scores(
        self, tile: Tile, scores: NDArray[np.floating], lengths: NDArray[np.int64]
    ) -> None:
        figures, rows = self._figures, len(lengths)
        figures.judged += rows if tile.judged is None else int(tile.judged.sum())
        figures.not_finite += _rows(tile.row[~np.isfinite(scores)], rows)
        if len(scores) < 2 or self._may_rise:
            return
        order, slack = scores, 0.0
        if self._doubt is not None:
            order, slack = scores - self._doubt[tile.items], _ROUNDING
        same = tile.row[1:] == tile.row[:-1]
        unordered = _hit((order[1:] > order[:-1] + slack) & same, tile, rows)
        if tile.tiers is not None and unordered.any():
            step = np.diff(tile.tiers)
            rising = (step < 0) | ((order[1:] > order[:-1]) & (step == 0))
            unordered &= _hit(rising & same, tile, rows)  # earlier versions had no tiers
        figures.unordered += int(unordered.sum())
        several = lengths > 1
        if tile.judged is not None:
            several &= tile.judged
        chosen = np.flatnonzero(several)
        first, last = tile.offsets[chosen], tile.offsets[chosen + 1] - 1
        figures.flat += int((scores[first] == scores[last]).sum())

    def _indexed(self, lists: pa.ListArray) -> Histories:
        """Return the lists as catalogue indices; -1 for a movie that the catalogue lacks."""
        index = pc.index_in(lists.flatten(), value_set=self._catalogue).fill_null(-1)
        offsets = lists.offsets.to_numpy().astype(np.int64)
        return Histories(offsets - offsets[0], index.to_numpy(zero_copy_only=False))

    def _misplaced(self, batch: pa.RecordBatch, left_out: pa.RecordBatch) -> int:
        """Count the lists whose id differs from that of the same row in the other batch."""
        own = ids_of(batch.column(c.SUFFIX))
        return len(batch) - int(pc.equal(own, ids_of(left_out.column(c.SUFFIX))).true_count)

    def _sample(self, batch: pa.RecordBatch, lists: Histories) -> None:
        skipped = -self._figures.lists % self._every
        rows = np.arange(skipped, len(batch), self._every)
        names = ids_of(batch.column(c.SUFFIX).take(pa.array(rows))).to_pylist()
        for name, row in zip(names, rows.tolist(), strict=True):
            whole = lists.of(row)
            self._figures.sampled[name] = (whole if self._family == SEEN else whole[:TOP]).copy()


def _hit(at: NDArray[np.bool_], tile: Tile, rows: int) -> NDArray[np.bool_]:
    """Return the lists with a hit at any position after the first, [R]."""
    hit: NDArray[np.bool_] = np.bincount(tile.row[1:][at], minlength=rows) > 0
    return hit


def _rows(hit: NDArray[np.int64], rows: int) -> int:
    """Count the different rows among those hit."""
    return int(np.count_nonzero(np.bincount(hit, minlength=rows))) if len(hit) else 0


def ids_of(suffixes: pa.Array) -> pa.Array:
    """Return the ids in key suffixes: the part after the first colon."""
    return pc.replace_substring_regex(suffixes, r"\A[a-z]+:", "", max_replacements=1)


def _itself(catalogue: pa.Array, family: Family, rows: int = 4096) -> Iterator[pa.RecordBatch]:
    """Yield each movie as the only one that its own list must leave out."""
    for start in range(0, len(catalogue), rows):
        ids = catalogue.slice(start, rows)
        names = pc.binary_join_element_wise(family.name, ids.cast(pa.string()), ":")
        lists = pa.ListArray.from_arrays(np.arange(len(ids) + 1, dtype=np.int32), ids)
        yield pa.RecordBatch.from_pydict({c.SUFFIX: names, c.MOVIE_IDS: lists})


def side_by_side(
    left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """Yield both in blocks of the same number of rows; None after the end of one of them."""
    a = b = None
    while True:
        a = a if a is not None and len(a) else next(left, None)
        b = b if b is not None and len(b) else next(right, None)
        if a is None and b is None:
            return
        rows = min(len(piece) for piece in (a, b) if piece is not None)
        yield (
            None if a is None else a.slice(0, rows),
            None if b is None else b.slice(0, rows),
        )
        a = None if a is None else a.slice(rows)
        b = None if b is None else b.slice(rows)
