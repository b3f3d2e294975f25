"""The models that benchmarks compare with follow their definitions."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from planted_ratings import GENRES, planted_movies, planted_ratings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """Return protocol, peers and star_peers, which belong to no package."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return [importlib.import_module(name) for name in ("protocol", "peers", "star_peers")]


@pytest.fixture
def peers(modules):
    """Return the peers of lists."""
    return modules[1]


@pytest.fixture
def case(modules, tmp_path):
    """Return a random cut of the planted ratings."""
    movies, folder = planted_movies(), tmp_path / "data"
    folder.mkdir()
    planted_ratings().to_csv(folder / "ratings.csv", index=False)
    rows = zip(movies.ids, movies.titles, movies.genres, strict=True)
    lines = [f'{i},"{title}",{genres[0]}' for i, title, genres in rows]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *lines]), "utf-8")
    protocol = modules[0]
    ratings, table = protocol.read_ratings(folder)
    seed, train, test = next(protocol.parts(ratings, "random", seeds=1, dates=1))
    return protocol.Case(tmp_path / "case", "random", seed, train, test, table)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_ease_over_users_is_ease_over_movies(peers, case, dropout):
    """EASE and EDLAE over users equal the papers' formula, for known users and new histories."""
    x, histories = case.seen.toarray(), sp.csr_matrix(case.seen + case.wanted)
    penalty = 30.0 + dropout / (1 - dropout) * x.sum(axis=0)
    inverse = np.linalg.inv(x.T @ x + np.diag(penalty))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)

    ease = peers.Ease(case.seen, l2=30.0, dropout=dropout)

    np.testing.assert_allclose(ease.scores(case.seen), x @ weights, atol=1e-5)
    np.testing.assert_allclose(ease.scores(histories), histories @ weights, atol=1e-5)
    np.testing.assert_allclose(ease.weights(), weights, atol=1e-5)


def test_popularity_gives_all_users_the_same_scores(peers, case):
    """Popularity scores by number of ratings, recent popularity by those of the last days."""
    scores = peers.popularity(case)(0, 3)
    recent = peers.recent_popularity(case, days=1)(0, 1)[0]

    assert (scores == case.seen.toarray().sum(axis=0)).all()
    last = case.train.loc[case.train["timestamp"].idxmax(), "movieId"]
    assert case.items[recent.argmax()] == last


def test_settings_are_chosen_on_the_validation_part(peers, case):
    """A peer is fitted with the settings that are best before the test part is known."""
    fitted = []

    def fit(case, *, sign):
        fitted.append((len(case.train), sign))
        return lambda start, stop: sign * case.wanted[start:stop].toarray()

    lists, notes = peers.Peer(fit, [{"sign": -1}, {"sign": 1}]).lists(case)

    validation = len(case.validation().train)
    assert fitted == [(validation, -1), (validation, 1), (len(case.train), 1)]
    assert (notes["settings"], notes["tried"]) == ({"sign": 1}, 2)
    assert lists.shape == (len(case.users), 100)


@pytest.mark.parametrize("name", ["matrix factorisation", "ridge on genres and years"])
def test_star_predictors_explain_more_than_the_means(modules, case, name):
    """Rating predictors beat the means on their training data, by less with more regularisation."""
    case.test = case.train
    truth, peer = case.train["rating"].to_numpy(), modules[2].STAR_PEERS[name]

    def error(fit, **settings):
        return np.square(fit(modules[2].Stars(case), **settings) - truth).mean()

    errors = [error(peer.fit, **{**peer.settings[0], "l2": l2}) for l2 in (0.5, 2.0)]

    assert errors[0] < errors[1] < error(modules[2].means)


def test_content_is_genres_and_decades(modules, case):
    """Each movie has its genre and its decade."""
    content = modules[2].Stars(case).content.toarray()

    assert content.shape == (90, len(GENRES) + 9)
    assert (content.sum(axis=1) == 2).all()
