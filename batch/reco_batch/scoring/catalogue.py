"""Catalogues: the fixed side of a scoring task, and the rows that are scored against it.

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
from reco_batch.scoring.ranking import Candidates, ranked_blocks
from reco_batch.scoring.rating_weights import RatingWeights
from reco_batch.scoring.topk import TopK, top_k_blocks
from reco_batch.scoring.uncertainty import Bound

_MadeBlock_co = TypeVar("_MadeBlock_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to be scored, with everything that is known of them alone."""

    vectors: Mapping[str, NDArray[np.float32]]
    """[R, ...] each, by the name that the catalogue knows them by."""
    excluded: Histories
    """For each row the items that must not be shown."""
    rated: Rated | None = None
    """For each row what may be a reason, where reasons are wanted."""

    def __len__(self) -> int:
        """R."""
        return len(self.excluded.offsets) - 1

    def shards(self, size: int) -> Iterator["Rows"]:
        """Yield all rows in their order, up to `size` at a time, without copying.

        Args:
            size: a multiple of a tile's rows: the last bits of a score depend on where the tile
                begins that it was computed in.
        """
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            part = {name: array[start:stop] for name, array in self.vectors.items()}
            rated = None if self.rated is None else self.rated.block(start, stop)
            yield Rows(part, self.excluded.block(start, stop), rated)


class Catalogue(Protocol[_MadeBlock_co]):
    """What rows are scored against, and how: the same for every shard of a family."""

    @property
    def k(self) -> int:
        """How long a list is."""
        ...

    def score(self, rows: Rows, *, threads: int) -> Iterator[_MadeBlock_co]:
        """Yield the lists of the rows, a block at a time.

        Raises:
            NotFinite: a weight is.
        """
        ...


@dataclass(frozen=True, slots=True)
class ByProduct:
    """The items of the largest dot products."""

    items: NDArray[np.float32]  # [I, D]
    k: int

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Yield the lists of rows of `queries`, [R, D]."""
        queries = rows.vectors["queries"]
        return top_k_blocks(queries, self.items, rows.excluded, k=self.k, threads=threads)


@dataclass(frozen=True, slots=True)
class WithReasons:
    """The items of the largest dot products, and why each is among them."""

    product: ByProduct
    influence: Influence
    """Of no users: a shard brings its own."""

    @property
    def k(self) -> int:
        """How long a list is."""
        return self.product.k

    def score(self, rows: Rows, *, threads: int) -> Iterator[Explained]:
        """Yield the lists of rows of `queries`, [R, D], and `shares`, [R, H], with reasons."""
        if rows.rated is None:
            raise ValueError("the rows must say what was rated")
        influence = self.influence._replace(shares=rows.vectors["shares"], rated=rows.rated)
        lists = self.product.score(rows, threads=threads)
        return explained(lists, self.product.items, influence, threads=threads)


def with_reasons(product: ByProduct, rows: Rows, influence: Influence) -> tuple[WithReasons, Rows]:
    """Part what explains lists into what belongs to the catalogue and what to its users.

    Args:
        product: makes the lists.
        rows: of `queries`.
        influence: of the model that both are of.
    """
    nobody = influence._replace(shares=influence.shares[:0], rated=influence.rated.block(0, 0))
    vectors = {**rows.vectors, "shares": influence.shares}
    return WithReasons(product, nobody), Rows(vectors, rows.excluded, influence.rated)


@dataclass(frozen=True, slots=True)
class ByStars:
    """The movies of the highest predicted stars."""

    weights: RatingWeights | LinearRating
    """Of no users: a shard brings its own."""
    k: int
    bound: Bound | None
    among: Candidates | None = None
    """Which movies are rated; of no users, likewise."""

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Yield the lists of rows of what the weights, and `queries` of candidates, say of each."""
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
    """Part weights into what belongs to the catalogue and what to its users.

    Args:
        weights: of the trained model.
        seen: for each user the movies to leave out.
        k: list length.
        bound: as `ranked_blocks` takes it.
        among: likewise.
    """
    fields = weights._asdict()
    of_users: dict[str, Any] = {name: fields[name] for name in _OF_USERS if name in fields}
    parted: Any = weights
    nobody = parted._replace(**{name: array[:0] for name, array in of_users.items()})
    if among is not None:
        of_users["queries"] = among.users
        among = among._replace(users=among.users[:0])
    return ByStars(nobody, k, bound, among), Rows(of_users, seen)


#: Fields of either kind of weights that have a row for each user.
_OF_USERS: Final = ("users", "user_bias")
