"""Catalogues: the part of a scoring task that all shards share, and the rows to score.

Shapes: R rows (users or items) of a task, I items, D embedding dimensions, H weights of a user.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from reco_batch.data.dataset import Histories
from reco_batch.scoring.explanations import Explained, Influence, Rated, explained
from reco_batch.scoring.factor_model import LinearRating
from reco_batch.scoring.ranked_lists import Candidates, ranked_blocks
from reco_batch.scoring.rating_weights import RatingWeights
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
            rated = None if self.rated is None else self.rated.block(start, stop)
            yield Rows(part, self.excluded.block(start, stop), rated)


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
    """Catalogue of items, ranked by dot product."""

    items: NDArray[np.float32]  # [I, D]
    k: int

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Yield the lists of rows of `queries`, [R, D]."""
        queries = rows.vectors["queries"]
        return top_k_blocks(queries, self.items, rows.excluded, k=self.k, threads=threads)


@dataclass(frozen=True, slots=True)
class WithReasons:
    """Catalogue of items, ranked by dot product, with explanations."""

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
        return explained(lists, self.product.items, influence, threads=threads)


def with_reasons(product: ByProduct, rows: Rows, influence: Influence) -> tuple[WithReasons, Rows]:
    """Split an explained scoring task into its catalogue and its user rows.

    Args:
        product: catalogue of the lists.
        rows: rows with `queries`.
        influence: influence of the ratings on the scores, of the same model.
    """
    shared = influence._replace(shares=influence.shares[:0], rated=influence.rated.block(0, 0))
    vectors = {**rows.vectors, "shares": influence.shares}
    return WithReasons(product, shared), Rows(vectors, rows.excluded, influence.rated)


@dataclass(frozen=True, slots=True)
class ByStars:
    """Catalogue of movies, ranked by predicted rating."""

    weights: RatingWeights | LinearRating
    """Weights without user rows: each shard contains its own."""
    k: int
    bound: Bound | None
    among: Candidates | None = None
    """Candidates without user rows; None: all movies are rated."""

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Yield the lists of rows of user weights and, with candidates, of `queries`."""
        weights: Any = self.weights
        of_users = dict(rows.vectors)
        queries = of_users.pop("queries", None)
        among = self.among
        if among is not None and queries is not None:
            among = among._replace(users=queries)
        return ranked_blocks(
            weights._replace(**of_users),
            rows.excluded,
            k=self.k,
            threads=threads,
            bound=self.bound,
            among=among,
        )


def by_stars(
    weights: RatingWeights | LinearRating,
    seen: Histories,
    *,
    k: int,
    bound: Bound | None,
    among: Candidates | None = None,
) -> tuple[ByStars, Rows]:
    """Split weights into a catalogue and its user rows.

    Args:
        weights: weights of the trained model.
        seen: movies that each user's list must leave out.
        k: list length.
        bound: lower bound to order by, see `ranked_blocks`.
        among: candidates, see `ranked_blocks`.
    """
    fields = weights._asdict()
    of_users: dict[str, Any] = {name: fields[name] for name in _OF_USERS if name in fields}
    split: Any = weights
    shared = split._replace(**{name: array[:0] for name, array in of_users.items()})
    if among is not None:
        of_users["queries"] = among.users
        among = among._replace(users=among.users[:0])
    return ByStars(shared, k, bound, among), Rows(of_users, seen)


#: Fields of either kind of weights that have a row for each user.
_OF_USERS: Final = ("users", "user_bias")
