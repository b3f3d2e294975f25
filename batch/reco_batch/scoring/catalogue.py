"""Catalogues: the part of a scoring task that all shards share, and the rows to score.

Shapes: R rows (users or items) of a task, I items, D embedding dimensions, H weights of a user.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories
from reco_batch.rules.list_rules import NO_RULES, ListRules
from reco_batch.scoring.embeddings import Embeddings
from reco_batch.scoring.explanations import Explained, Influence, explained
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import Candidates, ranked_blocks
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.sparse_term import Rated, SparseTerm
from reco_batch.scoring.topk import TopK, top_k_blocks
from reco_batch.scoring.uncertainty import Bound

_MadeBlock_co = TypeVar("_MadeBlock_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to score, with all arrays that have one entry a row."""

    vectors: Mapping[str, NDArray[np.float32]]
    """Name of an argument of the catalogue -> array, [R, ...]."""
    excluded: Histories
    """Items that each row's list must leave out."""
    rated: Rated | None = None
    """Rated movies that may explain each row's list; None: no explanations."""
    weighted: Rated | None = None
    """Weighted histories of the sparse term of each row's scores; None: no such term."""

    def __len__(self) -> int:
        """R."""
        return len(self.excluded.offsets) - 1

    def shards(self, size: int) -> Iterator["Rows"]:
        """Yield all rows in order, up to `size` at a time, without copying.

        Args:
            size: rows a shard; a multiple of a tile's rows, because the last bits of a score depend
                on where its tile begins.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            part = {name: array[start:stop] for name, array in self.vectors.items()}
            rated, weighted = (
                None if histories is None else histories.block(start, stop)
                for histories in (self.rated, self.weighted)
            )
            yield Rows(part, self.excluded.block(start, stop), rated, weighted)


class Catalogue(Protocol[_MadeBlock_co]):
    """Items and method of scoring, the same for every shard of a family of lists."""

    @property
    def k(self) -> int:
        """List length."""
        ...

    def score(self, rows: Rows, *, threads: int) -> Iterator[_MadeBlock_co]:
        """Yield the lists of the rows, a block at a time.

        Raises:
            NotFinite: a weight is not finite.
        """
        ...


@dataclass(frozen=True, slots=True)
class ByProduct:
    """Catalogue of items, ranked by dot product and, with `neighbours`, a sparse term."""

    items: NDArray[np.float32]  # [I, D]
    k: int
    neighbours: sp.csr_matrix | None = None
    """Sparse item-item weights, see `SparseTerm`; the rows then have weighted histories."""
    rules: ListRules = NO_RULES

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Yield the lists of rows of `queries`, [R, D]."""
        queries, items, sparse = self.vectors(rows)
        return top_k_blocks(
            queries,
            items,
            rows.excluded,
            k=self.k,
            threads=threads,
            sparse=sparse,
            rules=self.rules,
        )

    def sparse(self, rows: Rows) -> SparseTerm | None:
        """Return the sparse term of the scores of some rows; None without one.

        Raises:
            ValueError: the catalogue or the rows lack their part of it.
        """
        if self.neighbours is None and rows.weighted is None:
            return None
        if self.neighbours is None or rows.weighted is None:
            raise ValueError("a sparse term needs both item-item weights and weighted histories")
        return SparseTerm(rows.weighted, self.neighbours)

    def vectors(self, rows: Rows) -> Embeddings:
        """Return the vectors of rows and items with the sparse term."""
        return Embeddings(rows.vectors["queries"], self.items, self.sparse(rows))


def by_product(
    vectors: Embeddings, excluded: Histories, *, k: int, rules: ListRules = NO_RULES
) -> tuple[ByProduct, Rows]:
    """Split a scoring task into its catalogue and its user rows.

    Args:
        vectors: vectors of rows and items.
        excluded: items that each row's list must leave out.
        k: list length.
        rules: rules for the lists.
    """
    weighted, neighbours = vectors.sparse or (None, None)
    rows = Rows({"queries": vectors.users}, excluded, weighted=weighted)
    return ByProduct(vectors.movies, k, neighbours, rules), rows


@dataclass(frozen=True, slots=True)
class WithReasons:
    """Catalogue of items, ranked by product, with explanations."""

    product: ByProduct
    influence: Influence
    """Influence without user rows: each shard contains its own."""

    @property
    def k(self) -> int:
        """List length."""
        return self.product.k

    def score(self, rows: Rows, *, threads: int) -> Iterator[Explained]:
        """Yield the lists of rows of `queries`, [R, D], and `shares`, [R, H], with explanations."""
        if rows.rated is None:
            raise ValueError("the rows have no rated movies to explain lists with")
        influence = self.influence._replace(shares=rows.vectors["shares"], rated=rows.rated)
        lists = self.product.score(rows, threads=threads)
        sparse = self.product.sparse(rows)
        return explained(
            lists,
            self.product.items,
            influence,
            threads=threads,
            sparse=sparse,
            repeats=self.product.rules.repeats,
        )


def with_reasons(product: ByProduct, rows: Rows, influence: Influence) -> tuple[WithReasons, Rows]:
    """Split an explained scoring task into its catalogue and its user rows.

    Args:
        product: catalogue of the lists.
        rows: rows with `queries`.
        influence: influence of the ratings on the scores, of the same model.
    """
    shared = influence._replace(shares=influence.shares[:0], rated=influence.rated.block(0, 0))
    vectors = {**rows.vectors, "shares": influence.shares}
    own = Rows(vectors, rows.excluded, influence.rated, rows.weighted)
    return WithReasons(product, shared), own


@dataclass(frozen=True, slots=True)
class ByStars:
    """Catalogue of movies, ranked by predicted rating."""

    weights: RatingWeights | LinearRating
    """Weights without user rows: each shard contains its own."""
    k: int
    bound: Bound | None
    among: ByProduct | None = None
    """Catalogue of the candidates, whose k is their number; None: all movies are rated."""
    rules: ListRules = NO_RULES
    """Which movies may be shown."""

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Yield the lists of rows of user weights and, with candidates, of `queries`."""
        weights: Any = self.weights
        of_users = dict(rows.vectors)
        among = None
        if self.among is not None:
            among = Candidates(self.among.vectors(rows), self.among.k)
            del of_users["queries"]
        return ranked_blocks(
            weights._replace(**of_users),
            rows.excluded,
            k=self.k,
            threads=threads,
            bound=self.bound,
            among=among,
            rules=self.rules,
        )


def by_stars(
    weights: RatingWeights | LinearRating,
    seen: Histories,
    *,
    k: int,
    bound: Bound | None,
    among: Candidates | None = None,
    rules: ListRules = NO_RULES,
) -> tuple[ByStars, Rows]:
    """Split weights into a catalogue and its user rows.

    Args:
        weights: weights of the trained model.
        seen: movies that each user's list must leave out.
        k: list length.
        bound: lower bound to order by, see `ranked_blocks`.
        among: candidates, see `ranked_blocks`.
        rules: which movies may be shown.
    """
    fields = weights._asdict()
    of_users: dict[str, Any] = {name: fields[name] for name in _OF_USERS if name in fields}
    split: Any = weights
    shared = split._replace(**{name: array[:0] for name, array in of_users.items()})
    if among is None:
        return ByStars(shared, k, bound, rules=rules), Rows(of_users, seen)
    product, rows = by_product(among.vectors, seen, k=among.most)
    return ByStars(shared, k, bound, product, rules), replace(
        rows, vectors={**rows.vectors, **of_users}
    )


#: Fields of either kind of weights that have a row for each user.
_OF_USERS: Final = ("users", "user_bias")
