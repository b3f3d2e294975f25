"""Lists of a run for a model with a sparse term, where some movies are in no movies file."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from planted_ratings import as_dataset, planted_movies, planted_ratings
from reco_batch.data.dataset import Histories, histories
from reco_batch.night.write_lists import Lists
from reco_batch.rules.compiled import CompiledRules
from reco_batch.rules.list_rules import NO_RULES
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.engine import LocalEngine
from reco_batch.scoring.explanations import Influence
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.scoring.topk import TopK
from reco_batch.settings.hyperparameters import RankBy
from reco_batch.settings.rules import RulesKeys
from sparse_terms import dense_scores, drawn_vectors, integers

USERS, MOVIES, UNLISTED, K = 90, 90, 20, 8
LISTED = MOVIES - UNLISTED


class Model:
    """Retrieval model of drawn vectors."""

    def __init__(self, rng):
        self._vectors = drawn_vectors(rng, users=USERS, movies=MOVIES)
        alone = Rated(histories_of_one(MOVIES), integers(rng, MOVIES))
        following = SparseTerm(alone, self._vectors.sparse.neighbours)
        self._following = Embeddings(integers(rng, MOVIES, 3), self._vectors.movies, following)

    def embeddings(self):
        """Return the vectors of users and movies."""
        return self._vectors

    def next_embeddings(self):
        """Return the vectors of users with one movie."""
        return self._following

    def influence(self):
        """Return the contribution of each rating, with equal weights."""
        history = self._vectors.sparse.rated.history
        rated = Rated(history, np.ones(len(history.movie_index), np.float32))
        return Influence(self._vectors.movies, (3,), np.ones((USERS, 1), np.float32), rated)


class Written:
    """Writer that keeps the lists."""

    def __init__(self):
        self.lists = {}

    def write_top_k(self, family, ids, blocks):
        """Keep the lists of a family."""
        self.lists[family.name] = TopK.joined(list(blocks))
        assert len(self.lists[family.name].items) == len(ids)

    def write_explained(self, ids, blocks):
        """Keep the user lists without their explanations."""
        self.lists["user"] = TopK.joined([block.lists for block in blocks])
        assert len(self.lists["user"].items) == len(ids)


def histories_of_one(count):
    """Return a history of each movie alone."""
    return Histories(np.arange(count + 1), np.arange(count, dtype=np.int32))


@pytest.fixture
def dataset():
    """Planted ratings; the movies file lacks the last movies."""
    found = as_dataset(planted_ratings(users=USERS), planted_movies(movies=MOVIES))
    return replace(found, movies=replace(found.movies, unlisted=UNLISTED))


@pytest.mark.parametrize("because", [True, False])
def test_every_list_includes_the_term(dataset, because):
    """User lists, next lists and candidates are those of the dense scores of listed movies."""
    rng = np.random.default_rng(4)
    model, writer = Model(rng), Written()
    config = SimpleNamespace(
        k=K,
        because=because,
        ranked_k=K,
        ranked_candidates=5,
        orders_by=RankBy.PREDICTION,
        rating_scale=(-99, 99),
        rules=RulesKeys(),
    )
    lists = Lists(
        writer,
        dataset,
        config,
        rules=CompiledRules(NO_RULES, NO_RULES),
        engine=LocalEngine(threads=2),
    )
    rating = LinearRating(
        0,
        integers(rng, USERS),
        integers(rng, MOVIES),
        integers(rng, USERS, 2),
        integers(rng, MOVIES, 2),
        (-99, 99),
    )
    progress = SimpleNamespace(advance=lambda _: None)

    lists.user(progress, model)
    lists.next(progress, model)
    lists.ranked(progress, rating, model)

    seen = histories(dataset.ratings, user_count=USERS)
    scores = dense_scores(model.embeddings())[:, :LISTED]
    for user in range(USERS):
        unseen = np.setdiff1d(np.arange(LISTED), seen.of(user))
        best = unseen[np.lexsort((unseen, -scores[user, unseen]))]
        shown = best[:K]
        assert writer.lists["user"].items[user, : len(shown)].tolist() == shown.tolist()
        assert {*writer.lists["ranked"].items[user]} - {-1} == {*best[:5]}
    scores = dense_scores(model.next_embeddings())[:LISTED, :LISTED]
    for movie in range(LISTED):
        others = np.setdiff1d(np.arange(LISTED), movie)
        shown = others[np.lexsort((others, -scores[movie, others]))][:K]
        assert writer.lists["next"].items[movie].tolist() == shown.tolist()
        np.testing.assert_array_equal(writer.lists["next"].scores[movie], scores[movie, shown])


@pytest.mark.parametrize("folds_in", [True, False])
def test_histories_are_digested_only_for_refreshes(dataset, monkeypatch, folds_in):
    """Digests of all users take memory and seconds, in vain for models that cannot be refreshed."""
    monkeypatch.setattr(Lists, "popular_and_cards", lambda *_: None)
    writer, digests = SimpleNamespace(write_seen=lambda *_: None), {}
    writer.write_histories = lambda ids, values: digests.update(zip(ids, values, strict=True))
    config = SimpleNamespace(
        k=K,
        rules=RulesKeys(),
        parameters=SimpleNamespace(retrieval=SimpleNamespace(folds_in=folds_in)),
    )
    lists = Lists(
        writer, dataset, config, rules=CompiledRules(NO_RULES, NO_RULES), engine=LocalEngine(2)
    )
    lists.popular(SimpleNamespace())
    assert set(digests) == (set(dataset.user_ids) if folds_in else set())


@pytest.mark.parametrize("trained_on", [3, 7])
def test_a_movie_without_a_vector_is_compared_by_the_counts_of_training(dataset, trained_on):
    """A refresh computes the same similar lists whatever was rated since then."""
    alike = np.random.default_rng(6).normal(size=(MOVIES, 16)).astype(np.float32)
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    alike[0] = 0
    writer = Written()
    lists = Lists(
        writer,
        dataset,
        SimpleNamespace(k=K, rules=RulesKeys()),
        rules=CompiledRules(NO_RULES, NO_RULES),
        engine=LocalEngine(threads=2),
        trained_counts=np.eye(LISTED, dtype=np.int64)[trained_on] * 5,
    )
    progress = SimpleNamespace(advance=lambda _: None)
    lists.similar(progress, SimpleNamespace(similar_embeddings=lambda: alike))
    assert writer.lists["similar"].items[0, 0] == trained_on
