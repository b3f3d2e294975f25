"""Recommenders of other origin, that ours is compared with.

Each is fitted on ratings as ones, and scores all movies for all users. Its settings are the best of
several on the validation part, by ndcg@10; then it is fitted on the whole training part.

Shapes: U users, I movies, H histories.
"""

import contextlib
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from protocol import SEED, Case, Scores, metrics_by_user, top_k
from threadpoolctl import threadpool_limits

Settings = Mapping[str, float | int | bool | str]
Fit = Callable[..., Scores]
"""From a case and settings to scores."""

THREADS = 2
#: Seconds after which a peer tries no further settings.
PATIENCE = 60
#: Movies that SLIM learns from: those with enough ratings, the most rated ones first.
LEAST_RATINGS, MOST_MOVIES = 3, 8_000
UNKNOWN = -1e6
SECONDS_A_DAY = 86_400


class Ease:
    """EASE (Steck, 2019), and with dropout EDLAE (Steck, 2020): item-item weights in closed form.

    B = I - P / diag(P) with P = (X'X + L)^-1 and a diagonal L = l2 + p / (1 - p) diag(X'X), where p
    is the dropout, 0 for EASE. Solved over users instead of movies, which is equal by Woodbury's
    identity and faster for fewer users than movies:

        P = L^-1 - L^-1 X' (I + X L^-1 X')^-1 X L^-1
    """

    def __init__(self, seen: sp.csr_matrix, *, l2: float, dropout: float = 0.0) -> None:
        counts = np.asarray(seen.sum(axis=0), np.float32).ravel()
        self._penalty = np.float32(l2) + np.float32(dropout / (1 - dropout)) * counts  # [I]
        self._scaled = (seen @ sp.diags(1 / self._penalty)).tocsr()  # X L^-1
        system = (self._scaled @ seen.T).toarray()
        system[np.diag_indices_from(system)] += 1
        factor = scipy.linalg.cho_factor(system, overwrite_a=True, check_finite=False)
        self._solved = scipy.linalg.cho_solve(factor, self._scaled.toarray(), check_finite=False)
        explained = np.asarray(self._scaled.multiply(self._solved).sum(axis=0)).ravel()
        self._diagonal = 1 / self._penalty - explained  # of P

    def scores(self, histories: sp.csr_matrix) -> NDArray[np.float32]:
        """Return scores [H, I] from histories [H, I], of users in the training or not."""
        weighted = (histories @ sp.diags(1 / self._penalty)).toarray()
        explained = (histories @ self._scaled.T).toarray() @ self._solved
        return np.asarray(histories.toarray() - (weighted - explained) / self._diagonal, np.float32)

    def weights(self) -> NDArray[np.float32]:
        """Return B, [I, I]: from a movie of the history to the scored one."""
        weights = self.scores(sp.identity(len(self._penalty), np.float32, "csr"))
        np.fill_diagonal(weights, 0)
        return weights


def popularity(case: Case) -> Scores:
    """Return each movie's rating count for all users."""
    counts = np.asarray(case.seen.sum(axis=0), np.float32).ravel()
    return lambda start, stop: np.tile(counts, (stop - start, 1))


def recent_popularity(case: Case, *, days: int) -> Scores:
    """Return rating counts of the training part's last days; ties by all ratings before."""
    last = case.train["timestamp"].max() - SECONDS_A_DAY * days
    recent = case.pairs(case.train[case.train["timestamp"] > last])
    counts = np.asarray(recent.sum(axis=0) + 1e-6 * case.seen.sum(axis=0), np.float32).ravel()
    return lambda start, stop: np.tile(counts, (stop - start, 1))


def ease(case: Case, *, l2: float, dropout: float = 0.0) -> Scores:
    """Return EASE's or EDLAE's scores."""
    model = Ease(case.seen, l2=l2, dropout=dropout)
    return lambda start, stop: model.scores(case.seen[start:stop])


def implicit_als(case: Case, *, factors: int, l2: float, alpha: float) -> Scores:
    """Return the scores of implicit's alternating least squares (Hu, Koren, Volinsky 2008)."""
    from implicit.als import AlternatingLeastSquares  # noqa: PLC0415  # an extra

    with threadpool_limits(1, "blas"):  # it has threads of its own
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=l2,
            alpha=alpha,
            iterations=15,
            random_state=case.seed,
            num_threads=THREADS,
        )
        model.fit(case.seen, show_progress=False)
    return lambda start, stop: model.user_factors[start:stop] @ model.item_factors.T


def of_irspack(name: str) -> Fit:
    """Return the fit of one of irspack's recommenders."""

    def fit(case: Case, **settings: float) -> Scores:
        import irspack  # noqa: PLC0415  # an extra

        with quiet():
            model = getattr(irspack, name)(case.seen.astype(float), n_threads=THREADS, **settings)
            model.learn()
        return model.get_score_block

    return fit


def slim(case: Case, *, alpha: float, l1_ratio: float) -> Scores:
    """Return the scores of SLIM (Ning, Karypis 2011), whose weights are not negative."""
    import irspack  # noqa: PLC0415  # an extra

    counts = np.asarray(case.seen.sum(axis=0)).ravel()
    known = np.flatnonzero(counts >= LEAST_RATINGS)
    known = np.sort(known[np.argsort(-counts[known], kind="stable")[:MOST_MOVIES]])
    seen = case.seen[:, known].astype(float)
    model = irspack.SLIMRecommender(
        seen, n_threads=THREADS, n_iter=20, top_k=200, alpha=alpha, l1_ratio=l1_ratio
    ).learn()

    def scores(start: int, stop: int) -> NDArray[np.float32]:
        found = np.full((stop - start, len(counts)), UNKNOWN, np.float32)
        found[:, known] = (seen[start:stop] @ model.W).toarray()
        return found

    return scores


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out irspack's and optuna's messages."""
    logging.getLogger("irspack").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def tuned_ials(validation: Case) -> tuple[Settings, int]:
    """Return the settings of irspack's iALS by its own tuner, and their number of trials."""
    import irspack  # noqa: PLC0415  # an extra
    import optuna  # noqa: PLC0415  # an extra

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    evaluator = irspack.Evaluator(
        validation.wanted, offset=0, cutoff=10, target_metric="ndcg", n_threads=THREADS
    )

    def suggest(trial: "optuna.Trial") -> dict[str, float]:
        return {
            "n_components": trial.suggest_int("n_components", 16, 160, log=True),
            "alpha0": trial.suggest_float("alpha0", 3e-3, 1, log=True),
            "reg": trial.suggest_float("reg", 1e-4, 3e-1, log=True),
            "nu": trial.suggest_float("nu", 0.5, 1.0),
        }

    silent = logging.getLogger("quality.ials")
    silent.setLevel(logging.CRITICAL)
    with quiet():
        best, trials = irspack.IALSRecommender.tune(
            validation.seen,
            evaluator,
            n_trials=20,
            timeout=PATIENCE,
            tuning_random_seed=SEED,
            max_epoch=16,
            validate_epoch=4,
            logger=silent,
            parameter_suggest_function=suggest,
            prunning_n_startup_trials=8,
        )
    epochs = best.pop("max_epoch", 16)
    return {"train_epochs": epochs, **best}, len(trials)


@dataclass
class Peer:
    """A recommender with the settings to choose from."""

    fit: Fit
    settings: Sequence[Settings] = ({},)
    tuner: Callable[[Case], tuple[Settings, int]] | None = None
    """Replaces the choice among `settings`."""
    needs_times: bool = field(default=False, kw_only=True)

    def lists(self, case: Case) -> tuple[NDArray[np.int32], dict[str, object]]:
        """Choose, fit, and return the lists [U, K] with notes."""
        started = time.perf_counter()
        chosen, tried = self._chosen(case)
        fitting = time.perf_counter()
        scores = self.fit(case, **chosen)
        fitted = time.perf_counter()
        notes = {
            "settings": chosen,
            "tried": tried,
            "choosing_seconds": round(fitting - started, 2),
            "fit_seconds": round(fitted - fitting, 2),
        }
        return top_k(scores, case.seen), notes

    def _chosen(self, case: Case) -> tuple[Settings, int]:
        if len(self.settings) == 1 and self.tuner is None:
            return self.settings[0], 0
        validation = case.validation()
        if self.tuner is not None:
            return self.tuner(validation)
        started, found = time.perf_counter(), []
        for settings in self.settings:
            lists = top_k(self.fit(validation, **settings), validation.seen, k=10)
            ndcg = metrics_by_user(lists, validation.wanted)["ndcg@10"].mean()
            found.append((float(ndcg), settings))
            if time.perf_counter() - started > PATIENCE:
                break
        return max(found, key=lambda pair: pair[0])[1], len(found)


def _settings(names: str, *values: tuple[object, ...]) -> list[Settings]:
    return [dict(zip(names.split(), row, strict=True)) for row in values]


_KNN = [
    *_settings("top_k shrinkage normalize", (50, 0.0, True), (100, 10.0, True), (300, 10.0, True)),
    *_settings("top_k shrinkage normalize", (300, 50.0, True), (200, 0.0, False)),
]
PEERS: Mapping[str, Peer] = {
    "most popular": Peer(popularity),
    "popular, 7 days": Peer(recent_popularity, [{"days": 7}], needs_times=True),
    "popular, 30 days": Peer(recent_popularity, [{"days": 30}], needs_times=True),
    "EASE": Peer(ease, [{"l2": l2} for l2 in (100, 300, 30, 1000, 10, 3, 2000, 5000)]),
    "EDLAE": Peer(
        ease,
        _settings(
            "dropout l2",
            *((0.5, 100), (0.25, 100), (0.25, 300), (0.5, 10)),
            *((0.75, 10), (0.5, 300), (0.75, 100), (0.25, 30)),
        ),
    ),
    "iALS (irspack)": Peer(of_irspack("IALSRecommender"), tuner=tuned_ials),
    "implicit ALS": Peer(
        implicit_als,
        _settings(
            "factors l2 alpha",
            *((64, 0.01, 1), (64, 1, 5), (64, 20, 10), (64, 50, 20), (128, 20, 10), (32, 5, 10)),
        ),
    ),
    "RP3beta": Peer(
        of_irspack("RP3betaRecommender"),
        _settings(
            "top_k beta normalize_weight",
            *product((50, 200, 600), (0.2, 0.4, 0.6), (True, False)),
        ),
    ),
    "item-kNN cosine": Peer(of_irspack("CosineKNNRecommender"), _KNN),
    "item-kNN TF-IDF": Peer(
        of_irspack("CosineKNNRecommender"), [{**s, "feature_weighting": "TF_IDF"} for s in _KNN]
    ),
    "item-kNN BM25": Peer(
        of_irspack("CosineKNNRecommender"), [{**s, "feature_weighting": "BM_25"} for s in _KNN]
    ),
    "SLIM ElasticNet": Peer(
        slim,
        _settings(
            "alpha l1_ratio", (0.01, 0.1), (0.1, 0.01), (0.03, 0.03), (0.3, 0.003), (0.003, 0.1)
        ),
    ),
}
