"""Choice of the hybrid's hyper-parameters that differ between catalogues, on the validation part.

Coordinate search, cheap steps first. Each step measures a few values of one to three
hyper-parameters with all others as chosen so far, and keeps the best:

1. kind of the item-item weights, by the lists of that half alone;
2. weights of newer and of disliked ratings, by the same lists;
3. length of the encoder's training, by the lists of both halves: one training is measured every few
   steps, and ends after two measurements without a gain;
4. penalties of the item-item weights and share of this half, each pair of penalties with each
   share, by the lists of both halves: which penalties are best depends on the share, and the
   encoder finds the movies further down a list, so this half does better with fewer weights than
   it would alone. Stronger penalties follow with the best share, each only for a gain above its
   standard error;
5. other shares, by the lists of the sum. The trust in short histories is also measured on a
   quarter of these users as newcomers: with a few drawn ratings, and without the vectors that the
   encoder learned for them.

The values of the last run come first, and give way only to a gain above its standard error, which
limits churn. Values that a parameter file changes are not chosen. Finally, lists that are worse
than the most popular movies by any metric, beyond its standard error, give way to them.

Of large data the choice uses all ratings of some users only, drawn at random: what is best for them
hardly differs, and a run would otherwise spend half of its time on the choice.

The measure of a list is the mean of NDCG@10 and NDCG@100, and where ratings have an order, of
Recall@100: its values are many more there, and Recall@100 varies less between samples. Budgets are
in users and scores, not in seconds, so the same data, seed and last run give the same choice.

Shapes: U users, A sampled users with held-out ratings, I movies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Dataset, Histories, Ratings, histories
from reco_batch.data.item_features import content_features
from reco_batch.metrics.ranking_metrics import per_user_metrics, standard_error
from reco_batch.models.retrieval.cooccurrence import has_order
from reco_batch.models.retrieval.encoder_training import encoder_of, years_of
from reco_batch.models.retrieval.encoder_weights import EncoderWeights
from reco_batch.models.retrieval.history_encoder import encoder_plan
from reco_batch.models.retrieval.history_weights import evidence
from reco_batch.models.retrieval.hybrid import (
    Users,
    encoded_users,
    item_term,
    popularity_columns,
    popularity_shares,
    trust,
)
from reco_batch.models.retrieval.neighbours import RatedPairs, SlimProblem, fit_neighbours
from reco_batch.models.trainable import Choice
from reco_batch.progress.reporter import Stage
from reco_batch.scoring.sparse_term import Rated
from reco_batch.scoring.topk import Scratch, select_blocks
from reco_batch.settings.hyperparameters import (
    HybridParameters,
    NeighbourKind,
    NeighbourParameters,
)
from reco_batch.settings.processors import release_memory, release_models
from reco_batch.settings.search_space import values_of, with_values

#: Penalties of SLIM to try, L1 and L2; the solution for one is the start for the next.
_PENALTIES: Final = ((0.5, 60.0), (0.5, 20.0), (0.5, 4.0), (2.0, 2.0), (0.1, 20.0), (0.1, 60.0))
#: L2 penalties to try in turn after the largest of these, as long as each is clearly better: the
#: more users have rated the same movies, the larger the best one is.
_STRONGER: Final = (200.0, 600.0, 2000.0, 6000.0)
#: Values to try, by dotted name, which span the best settings of many catalogues.
LADDER: Final[Mapping[str, tuple[Any, ...]]] = {
    "neighbours.kind": tuple(NeighbourKind),
    "neighbours.l1": tuple(sorted({l1 for l1, _ in _PENALTIES})),
    "neighbours.l2": tuple(sorted({l2 for _, l2 in _PENALTIES} | {*_STRONGER})),
    "recency": (0.0, 0.1, 0.25, 0.5, 1.0, 2.0),
    "dislike_weight": (1.0, 0.5, 0.0, -0.5),
    "tower.steps": (),  # as many as the training is measured at
    "tower_share": (1.0, 0.0),
    "neighbour_share": (0.35, 0.7, 1.0, 1.5, 3.0),
    "half_trust": (1.0, 5.0, 10.0, 20.0),
    "popularity_share": (-0.1, 0.0, 0.1, 0.3),
    "recent_days": (7, 30),
    "recent_share": (0.0, 0.3, 1.0, 2.0, 4.0),
}
#: Cutoffs at which lists must not be worse than popularity.
_CUTOFFS: Final = (10, 20, 100)
#: Most scores of the sample, 4 bytes each, for each half.
_MOST_SCORES: Final = 40_000_000
#: Scores standardised at a time. Their copies of 8 bytes each stay in the processor's cache, which
#: makes it four times as fast.
_STANDARDISED_AT_ONCE: Final = 1 << 16
#: Ratings of a newcomer; and sampled users for each one who is also measured as a newcomer, so that
#: the lists of known users count more.
_FEW, _FOR_EACH_NEWCOMER = 5, 4
#: Steps of the encoder between two measurements, rounded to whole epochs; most measurements; and
#: measurements without a gain after which the training ends.
_MARK_STEPS, _MOST_MARKS, _PATIENCE = 24, 10, 2
#: Largest number of steps in a manifest that is believed.
_MOST_STEPS: Final = 1_000_000
#: Shares of popularity to try in turn where lists are worse than it; if none is enough, the lists
#: become popularity alone.
_GIVE_WAY: Final = (0.3, 1.0, 3.0)

PerUser = Mapping[str, NDArray[np.float64]]
"""Metrics of each sampled user, [A] each."""
Score = Callable[[int, int], NDArray[np.float32]]
"""Returns the scores of the sampled users from one to another, [rows, I]."""


class _Sample(NamedTuple):
    """Sampled users with held-out ratings, whose lists are measured."""

    users: NDArray[np.int64]  # [A]
    seen: Histories  # [A] rows
    wanted: Histories  # [U] rows
    movie_count: int
    is_ordered: bool
    """True if the ratings have an order, so that lists are measured by Recall@100 as well."""

    @classmethod
    def of(
        cls, train: Ratings, validation: Ratings, *, shape: tuple[int, int], most: int, seed: int
    ) -> "_Sample":
        user_count, movie_count = shape
        wanted = histories(validation, user_count=user_count).below(movie_count)
        index = np.flatnonzero(np.diff(wanted.offsets))
        most = max(1, min(most, _MOST_SCORES // movie_count))
        if len(index) > most:
            index = np.sort(np.random.default_rng(seed).choice(index, most, replace=False))
        seen = histories(train, user_count=user_count).below(movie_count).rows(index)
        return cls(index, seen, wanted, movie_count, has_order(train))

    def among(self, places: NDArray[np.int64]) -> "_Sample":
        """Return the users at some places of the sample."""
        return self._replace(users=self.users[places], seen=self.seen.rows(places))

    def measured(self, score: Score) -> PerUser:
        """Return the metrics of each user's list by some scores."""
        ks = [k for k in _CUTOFFS if k <= self.movie_count] or [self.movie_count]

        def fill(start: int, stop: int, scratch: Scratch) -> None:
            scratch.scores[: stop - start, : self.movie_count] = score(start, stop)[
                :, : self.movie_count
            ]

        blocks = select_blocks(
            fill, self.seen, len(self.users), self.movie_count, k=ks[-1], threads=1
        )
        lists = np.concatenate([block.items for block in blocks])
        found = per_user_metrics(lists, self.wanted, self.users, ks=ks)
        names = [f"ndcg@{ks[0]}", f"ndcg@{ks[-1]}", *([f"recall@{ks[-1]}"] * self.is_ordered)]
        return {**found, _GOAL: np.mean([found[name] for name in names], axis=0)}


_GOAL: Final = "goal"
_KIND: Final = "neighbours.kind"
_L1, _L2 = "neighbours.l1", "neighbours.l2"
_SHARE: Final = "neighbour_share"
_STEPS: Final = "tower.steps"
#: Names in `Choice.tried` of the lists by the chosen values, of the most popular movies, and of the
#: lists with more and more popularity.
LISTS: Final = "chosen lists"
POPULAR: Final = "most popular"
GIVE_WAY: Final = "give way to popularity"
_WORSE: Final = "on validation, personal lists were worse than the most popular movies"


@dataclass
class _Ladder:
    """Hyper-parameters chosen so far, and everything that was tried."""

    parameters: HybridParameters
    free: frozenset[str]
    """Names of the values to choose."""
    has_last: bool
    """True if the first values are those of the last run, which only a clear gain replaces."""
    tried: list[dict[str, Any]] = field(default_factory=list)
    """Entries of `Choice.tried`."""

    @property
    def given_steps(self) -> int | None:
        """Steps of the encoder's training by the last run or a parameter file, if any."""
        is_given = self.has_last or _STEPS not in self.free
        return self.parameters.tower.steps if is_given else None

    def step(
        self, options: Sequence[Mapping[str, Any]], measure: Callable[[HybridParameters], PerUser]
    ) -> PerUser:
        """Measure the current values and each option, keep the best, and return its metrics."""
        current, names = self.parameters, list(options[0])
        best = self._try_option(names, current, measure)
        seen = [current]
        for option_values in options:
            values = {name: value for name, value in option_values.items() if name in self.free}
            option = with_values(current, values)
            if option in seen:
                continue
            seen.append(option)
            found = self._try_option(names, option, measure)
            if self._gains(found, best, clearly=self.has_last):
                best, self.parameters = found, option
        return best

    def each(self, names: Sequence[str], measure: Callable[[HybridParameters], PerUser]) -> PerUser:
        """Choose one hyper-parameter after the other."""
        best = None
        for name in names:
            best = self.step([{name: value} for value in LADDER[name]], measure)
        assert best is not None  # noqa: S101  # there is at least one name
        return best

    def strengthen(self, measure: Callable[[HybridParameters], PerUser]) -> None:
        """Raise the L2 penalty from the largest of the pairs, as long as lists get clearly better.

        One of the last run is lowered as well, where a larger one is not better.
        """
        ladder = (max(l2 for _, l2 in _PENALTIES), *_STRONGER)
        first = self.parameters.neighbours.l2
        if first not in ladder:
            return
        place, best = ladder.index(first), measure(self.parameters)
        for penalties in (ladder[place + 1 :], ladder[:place][::-1] if self.has_last else ()):
            for l2 in penalties:
                option = with_values(self.parameters, {_L2: l2})
                found = self._try_option((_L1, _L2, _SHARE), option, measure)
                if not self._gains(found, best, clearly=True):
                    break
                best, self.parameters = found, option
            if self.parameters.neighbours.l2 != first:
                return

    def _try_option(
        self,
        names: Sequence[str],
        option: HybridParameters,
        measure: Callable[[HybridParameters], PerUser],
    ) -> PerUser:
        """Measure an option, and record it by the values that its step chooses."""
        own = values_of(option)
        values = {name: own[name] for name in names}
        return self.measured(", ".join(names), values, measure(option))

    @staticmethod
    def _gains(found: PerUser, best: PerUser, *, clearly: bool) -> bool:
        """Return True if other lists are better; clearly: by more than the standard error."""
        gain = found[_GOAL] - best[_GOAL]
        return bool(gain.mean() > (standard_error(gain) if clearly else 0))

    def measured(self, step: str, values: Mapping[str, Any], found: PerUser) -> PerUser:
        """Record the metrics of a step's values, and return them."""
        self.tried.append({"name": step, "values": dict(values), **_means(found)})
        return found


def _means(found: PerUser) -> dict[str, float]:
    """Return the mean NDCG and recall of the users, for the manifest."""
    return {
        name: round(float(own.mean()), 5)
        for name, own in found.items()
        if name.startswith(("ndcg@", "recall@"))
    }


def choose(
    parameters: HybridParameters,
    dataset: Dataset,
    train: Ratings,
    validation: Ratings,
    *,
    last: Mapping[str, Any],
    seed: int,
    stage: Stage,
) -> Choice:
    """Return the values with the best lists on the validation part.

    Args:
        parameters: hyper-parameters to begin with; those that differ from the defaults are kept.
        dataset: whole input; only its users, movies and sizes are used.
        train: ratings to fit.
        validation: held-out ratings to predict.
        last: values that the last run chose, by dotted name.
        seed: random seed of the sample and of the encoder.
        stage: receives a line about the choice.
    """
    own, defaults = values_of(parameters), values_of(HybridParameters())
    free = frozenset(name for name in LADDER if own[name] == defaults[name])
    kept = {name: value for name, value in last.items() if name in free and _is_known(name, value)}
    ladder = _Ladder(with_values(parameters, kept), free, bool(kept))
    notes: tuple[str, ...] = ()
    if len(train) > parameters.choosing_ratings:
        drawn = _drawn(dataset, train, most=parameters.choosing_ratings, seed=seed)
        dataset = replace(dataset, user_ids=tuple(dataset.user_ids[user] for user in drawn))
        train, validation = (_of_users(part, drawn) for part in (train, validation))
    if (validation.movie_index < dataset.movies.listed).any():
        notes = _climb(ladder, _Data.of(dataset, train, validation, parameters, seed=seed), stage)
    else:
        stage.note("values of the last run" if kept else "defaults, since nothing was measured")
    chosen = values_of(ladder.parameters)
    return Choice({name: chosen[name] for name in LADDER}, ladder.tried, notes)


def _drawn(dataset: Dataset, train: Ratings, *, most: int, seed: int) -> NDArray[np.int64]:
    """Return random users with at most `most` ratings in all, ascending."""
    counts = np.bincount(train.user_index, minlength=len(dataset.user_ids))
    order = np.random.default_rng(seed).permutation(len(counts))
    return np.sort(order[np.cumsum(counts[order]) <= most])


def _of_users(ratings: Ratings, users: NDArray[np.int64]) -> Ratings:
    """Return the ratings of some users, whose places in `users` become their indices."""
    own = ratings.fitted(np.flatnonzero(np.isin(ratings.user_index, users)))
    return replace(own, user_index=np.searchsorted(users, own.user_index).astype(np.int32))


def _is_known(name: str, value: object) -> bool:
    """Return True for a value that a run can have chosen; others in a manifest are not used."""
    if name == _STEPS:
        return isinstance(value, int) and 1 <= value <= _MOST_STEPS
    given_way = {"popularity_share": _GIVE_WAY, "neighbour_share": (0.0,)}
    return value in (*LADDER[name], *given_way.get(name, ()))


class _Data(NamedTuple):
    """Training data and sampled users, the same for all values."""

    train: Ratings
    users: Users
    sample: _Sample
    pairs: RatedPairs
    content: NDArray[np.float32]  # [I, F]
    years: tuple[int, int]
    """First and last knot of the encoder's time features."""
    seed: int

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        train: Ratings,
        validation: Ratings,
        parameters: HybridParameters,
        *,
        seed: int,
    ) -> "_Data":
        shape = len(dataset.user_ids), len(dataset.movies)
        users = Users.of(train, user_count=shape[0])
        pairs = RatedPairs.of(
            train,
            users.rated,
            movie_count=shape[1],
            parameters=parameters.neighbours,
        )
        # No list may contain an unlisted movie, so none is measured on one.
        sample = _Sample.of(
            train,
            validation,
            shape=(shape[0], dataset.movies.listed),
            most=parameters.choosing_users,
            seed=seed,
        )
        content = content_features(dataset.movies)
        return cls(train, users, sample, pairs, content, years_of(train), seed)

    @property
    def sampled(self) -> "_Group":
        """Users of the sample, with their own histories."""
        return _Group(self.sample, self.users.rows(self.sample.users))

    def newcomers(self) -> "_Group | None":
        """Return some users of the sample as newcomers with few ratings; None if all have few."""
        counts = np.diff(self.users.rated.history.offsets)[self.sample.users]
        longer = np.flatnonzero(counts > _FEW)[::_FOR_EACH_NEWCOMER]
        if not len(longer):
            return None
        sample = self.sample.among(longer)
        users = _shortened(self.users.rows(sample.users), seed=self.seed)
        return _Group(sample, users, are_newcomers=True)


class _Group(NamedTuple):
    """Users whose lists are measured, and the histories that the lists are computed from."""

    sample: _Sample
    users: Users
    are_newcomers: bool = False
    """True if the encoder's own vectors of the users are not used."""


def _shortened(users: Users, *, seed: int) -> Users:
    """Return users with `_FEW` drawn ratings of each longer history, without trained vectors."""
    history, weights = users.rated
    counts = np.diff(history.offsets)
    row = np.repeat(np.arange(len(counts)), counts)
    drawn = np.lexsort((np.random.default_rng(seed).random(len(row)), row))
    place = np.arange(len(row)) - np.repeat(history.offsets[:-1], counts)
    kept = np.sort(drawn[place < _FEW])  # newest first again
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, _FEW))])
    few = Histories(offsets, history.movie_index[kept])
    return Users(Rated(few, weights[kept]), users.latest, None)


def _climb(ladder: _Ladder, data: _Data, stage: Stage) -> tuple[str, ...]:
    """Choose step by step, and return notes for the operator."""
    neighbours = _Neighbours(data)
    if ladder.parameters.neighbours.kind not in data.pairs.kinds and _KIND in ladder.free:
        ladder.parameters = with_values(ladder.parameters, {_KIND: NeighbourKind.SLIM})
    kinds = [{_KIND: kind} for kind in data.pairs.kinds]
    ladder.step(kinds, neighbours.measured)
    neighbours.release_others(ladder.parameters.neighbours)
    if data.sample.is_ordered:
        ladder.each(["recency"], neighbours.measured)
    if data.train.rating is not None or (data.users.rated.weights < 0).any():
        ladder.each(["dislike_weight"], neighbours.measured)
    blend = _Blend(data, neighbours, data.sampled)
    training = _EncoderTraining(data, blend, ladder.parameters, least=ladder.given_steps or 0)
    training.run(stage)
    if ladder.given_steps is None:
        ladder.parameters = with_values(ladder.parameters, {_STEPS: training.best})
    ladder.step([{_STEPS: training.best}], training.measured)
    encoder = training.encoder(ladder.parameters)
    del training
    release_models()
    blend.encode(encoder, ladder.parameters)
    options = [{_SHARE: share} for share in LADDER[_SHARE]]
    own = ladder.parameters.neighbours
    if own.kind != NeighbourKind.WALK:
        pairs = dict.fromkeys([(own.l1, own.l2), *_PENALTIES])  # a run may begin with a strong one
        options = [{_L1: l1, _L2: l2, **share} for l1, l2 in pairs for share in options]
    ladder.step(options, blend.measured)
    neighbours.release_others(ladder.parameters.neighbours)
    if ladder.parameters.neighbours.kind != NeighbourKind.WALK and _L2 in ladder.free:
        ladder.strengthen(blend.measured)
        neighbours.release_others(ladder.parameters.neighbours)
    ladder.each(
        ["half_trust"], _with_newcomers(blend, data, neighbours, encoder, ladder.parameters)
    )
    best = ladder.each(["popularity_share", "tower_share"], blend.measured)
    if data.train.timestamp is not None:
        recent = [
            {"recent_days": days, "recent_share": share}
            for days in LADDER["recent_days"]
            for share in LADDER["recent_share"]
        ]
        best = ladder.step(recent, blend.measured)
    notes = _give_way(ladder, blend, best)
    stage.note(_line(ladder.parameters, ladder.tried))
    return notes


def _with_newcomers(
    blend: "_Blend",
    data: _Data,
    neighbours: "_Neighbours",
    encoder: EncoderWeights,
    parameters: HybridParameters,
) -> Callable[[HybridParameters], PerUser]:
    """Return a function that measures the sampled users, and some of them again as newcomers."""
    group = data.newcomers()
    if group is None:
        return blend.measured
    newcomers = _Blend(data, neighbours, group)
    newcomers.encode(encoder, parameters)

    def measured(parameters: HybridParameters) -> PerUser:
        both = blend.measured(parameters), newcomers.measured(parameters)
        return {name: np.concatenate([own[name] for own in both]) for name in both[0]}

    return measured


class _Neighbours:
    """Item-item half on the sampled users."""

    def __init__(self, data: _Data) -> None:
        self._data = data
        self._fitted: dict[NeighbourParameters, sp.csr_matrix] = {}

    def scores(self, parameters: HybridParameters, users: Users) -> NDArray[np.float32]:
        """Return [A, I] scores of standard deviation 1."""
        term = item_term(self._weights(parameters.neighbours), users, parameters)
        scores = np.zeros((len(users.latest), term.neighbours.shape[1]), np.float32)
        term.add_to(scores, first=0)
        return _standardised(scores)

    def release_others(self, own: NeighbourParameters) -> None:
        """Release the weights of all other parameters."""
        self._fitted = {own: self._weights(own)}
        release_memory()

    def _weights(self, own: NeighbourParameters) -> sp.csr_matrix:
        if own not in self._fitted:
            self._fitted |= self._fit(own)
        return self._fitted[own]

    def _fit(self, own: NeighbourParameters) -> dict[NeighbourParameters, sp.csr_matrix]:
        """Return the weights; of a kind of SLIM that has some already, those of all penalties.

        All penalties share one large system, and their weights take much memory. Only the chosen
        kind is asked for a second pair, so only its penalties are all fitted.
        """
        if own.kind == NeighbourKind.WALK:
            return {own: fit_neighbours(self._data.pairs, own)}
        known = {(each.l1, each.l2) for each in self._fitted if each.kind == own.kind}
        penalties = {(own.l1, own.l2): own}
        if known:
            pairs = [(own.l1, l2) for l2 in _STRONGER] if own.l2 in _STRONGER else _PENALTIES
            others = {pair: replace(own, l1=pair[0], l2=pair[1]) for pair in pairs}
            penalties |= {pair: each for pair, each in others.items() if pair not in known}
        found = SlimProblem.of(self._data.pairs, own).weights(list(penalties))
        return dict(zip(penalties.values(), found, strict=True))

    def measured(self, parameters: HybridParameters) -> PerUser:
        """Return the metrics of the lists by this half alone."""
        scores = self.scores(parameters, self._data.sampled.users)
        return self._data.sample.measured(lambda start, stop: scores[start:stop])


class _EncoderTraining:
    """One training of the encoder, measured on the way by the lists of both halves."""

    def __init__(
        self, data: _Data, blend: "_Blend", parameters: HybridParameters, *, least: int
    ) -> None:
        self._data, self._blend = data, blend
        # A half that gave way in the last run is measured too.
        shares = (parameters.tower_share or 1.0, parameters.neighbour_share or 1.0)
        self._parameters = replace(parameters, tower_share=shares[0], neighbour_share=shares[1])
        users, tower = len(data.users.latest), parameters.tower
        self._steps_per_epoch = -(-users // tower.batch_users)
        plan = encoder_plan(
            replace(tower, steps=_MOST_MARKS * _MARK_STEPS),
            user_count=users,
            movie_count=len(data.content),
        )
        # A budget may end the training before `_MARK_STEPS`, and it is measured at least once.
        self._unit = min(max(1, round(_MARK_STEPS / self._steps_per_epoch)), plan.epochs)  # epochs
        self._wanted = self._mark_of(least)
        self._kept: dict[int, EncoderWeights] = {}
        self.found: dict[int, PerUser] = {}
        """Metrics by number of steps."""

    def _mark_of(self, steps: int) -> int:
        """Return the measured number of steps that is nearest, at least one unit."""
        unit = self._unit * self._steps_per_epoch
        return min(max(1, round(steps / unit)), _MOST_MARKS) * unit

    def run(self, stage: Stage) -> None:
        """Train until two measurements bring no gain, or longer for the steps of the last run."""
        most = _MOST_MARKS * self._unit * self._steps_per_epoch
        tower = replace(self._parameters.tower, steps=most)
        encoder_of(
            self._data.users,
            self._data.content,
            replace(self._parameters, tower=tower),
            years=self._data.years,
            evidence=evidence(self._data.users.rated, self._data.train),
            seed=self._data.seed,
            stage=stage,
            is_enough=self._is_enough,
        )

    def _is_enough(self, epoch: int, trained: Callable[[], EncoderWeights]) -> bool:
        if epoch % self._unit:
            return False
        steps, encoder = epoch * self._steps_per_epoch, trained()
        encoder = encoder._replace(users=encoder.users[self._data.sample.users])
        self._blend.encode(encoder, self._parameters)
        self.found[steps] = self._blend.measured(self._parameters)
        best = self.best
        # The latest too, since a budget may end the training before the steps wanted.
        self._kept[steps] = encoder
        needed = best, self._wanted, steps
        self._kept = {at: kept for at, kept in self._kept.items() if at in needed}
        marks = (steps - best) // (self._unit * self._steps_per_epoch)
        return marks >= _PATIENCE and steps >= self._wanted

    @property
    def best(self) -> int:
        """Number of steps with the best lists."""
        return max(self.found, key=lambda steps: float(self.found[steps][_GOAL].mean()))

    def measured(self, parameters: HybridParameters) -> PerUser:
        """Return the metrics of the lists of both halves after so many steps."""
        return self.found[self._reached(parameters)]

    def encoder(self, parameters: HybridParameters) -> EncoderWeights:
        """Return the encoder after the chosen steps, with the vectors of the sampled users."""
        return self._kept[self._reached(parameters)]

    def _reached(self, parameters: HybridParameters) -> int:
        """Return the measured number of steps; a budget may have ended the training before."""
        return min(self._mark_of(parameters.tower.steps), max(self.found))


class _Blend:
    """Sum of both halves and popularity for a group of users."""

    def __init__(self, data: _Data, neighbours: _Neighbours, group: _Group) -> None:
        """Prepare to score the group; `encode` is called before anything is measured."""
        self._data, self._neighbours, self._group = data, neighbours, group
        self._counts = np.diff(group.users.rated.history.offsets)
        self._encoder = np.empty((0, 0), np.float32)  # [A, I]
        self._near: tuple[HybridParameters | None, NDArray[np.float32]] = None, self._encoder

    def encode(self, encoder: EncoderWeights, parameters: HybridParameters) -> None:
        """Set the scores of the encoder, whose own vectors are those of the sampled users."""
        users = self._group.users
        if not self._group.are_newcomers:
            users = users._replace(own=encoder.users)
        vectors, _ = encoded_users(encoder, users, parameters, self._data.years)
        self._encoder = _standardised(vectors @ encoder.movies.T)

    def _item_scores(self, parameters: HybridParameters) -> NDArray[np.float32]:
        """Return the [A, I] scores of the item-item half, which most options have in common."""
        own = HybridParameters(
            neighbours=parameters.neighbours,
            recency=parameters.recency,
            dislike_weight=parameters.dislike_weight,
        )
        if self._near[0] != own:
            self._near = own, self._neighbours.scores(own, self._group.users)
        return self._near[1]

    def measured(self, parameters: HybridParameters) -> PerUser:
        """Return the metrics of the lists by the sum."""
        columns = popularity_columns(
            self._data.train,
            movie_count=len(self._data.content),
            recent_days=parameters.recent_days,
        )
        scores_of_items = self._item_scores(parameters)
        near = parameters.neighbour_share * trust(parameters, self._counts)
        popular = columns @ popularity_shares(parameters)  # [I]

        def score(start: int, stop: int) -> NDArray[np.float32]:
            scores = popular + np.float32(parameters.tower_share) * self._encoder[start:stop]
            scores += near[start:stop, np.newaxis].astype(np.float32) * scores_of_items[start:stop]
            return scores

        return self._group.sample.measured(score)


def _standardised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each user's scores by their standard deviation, in place."""
    at_once = max(1, _STANDARDISED_AT_ONCE // scores.shape[1])
    for start in range(0, len(scores), at_once):
        block = scores[start : start + at_once]
        deviation = np.maximum(block.std(axis=1, keepdims=True, dtype=np.float64), 1e-6)
        block /= deviation.astype(np.float32)
    return scores


def _give_way(ladder: _Ladder, blend: _Blend, best: PerUser) -> tuple[str, ...]:
    """Add popularity until no metric is worse than that of the most popular movies.

    Returns:
        A note if any was added.
    """
    alone = {"tower_share": 0.0, "neighbour_share": 0.0, "popularity_share": 1.0}
    popular = with_values(ladder.parameters, {**alone, "recent_share": 0.0})
    ladder.measured(LISTS, {}, best)
    floor = ladder.measured(POPULAR, {}, blend.measured(popular))
    if not _worse(best, floor):
        return ()
    if not alone.keys() <= ladder.free:
        return (f"{_WORSE}, and the parameter file sets shares, which are kept",)
    for share in _GIVE_WAY:
        values = {"popularity_share": share}
        option = with_values(ladder.parameters, values)
        if not _worse(ladder.measured(GIVE_WAY, values, blend.measured(option)), floor):
            ladder.parameters = option
            return (f"{_WORSE}: popularity was added, with a share of {share:g}",)
    ladder.parameters = popular
    ladder.measured(GIVE_WAY, alone, floor)
    return (f"{_WORSE}, which are published instead",)


def _worse(ours: PerUser, floor: PerUser) -> bool:
    """Return True if any mean is below that of popularity by more than its standard error."""
    return any(
        (own - ours[name]).mean() > standard_error(own - ours[name]) for name, own in floor.items()
    )


def _line(chosen: HybridParameters, tried: Sequence[Mapping[str, Any]]) -> str:
    """Return the choice in one line: metric of the lists, kinds of weights, and share.

    With the name of the stage it takes at most two lines of 80 columns.
    """
    metric = next(name for name in tried[-1] if name.startswith("ndcg@"))
    *_, lists = (entry[metric] for entry in tried if entry["name"] in (LISTS, GIVE_WAY))
    *_, popular = (entry[metric] for entry in tried if entry["name"] == POPULAR)
    kinds = {entry["values"][_KIND]: entry[metric] for entry in tried if entry["name"] == _KIND}
    own = kinds.pop(chosen.neighbours.kind)
    alternatives = ", ".join(f"{kind} {other:.3f}" for kind, other in kinds.items())
    return (
        f"{metric.upper()} {lists:.3f}, most popular {popular:.3f}; "
        f"{chosen.neighbours.kind} neighbours alone {own:.3f}"
        f"{f' ({alternatives})' if alternatives else ''}, share {chosen.neighbour_share:g}"
    )
