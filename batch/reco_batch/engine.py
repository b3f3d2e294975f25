"""Who scores the lists of a night: an engine, shard by shard, over one pure function.

A shard is some consecutive rows of a family: users, or movies. `Catalogue.score` reads nothing but
the shard and itself, writes nothing, and gives the same bits wherever and however often it is run.
So a shard whose worker was lost is scored again, and nothing has to be taken back.

An engine yields blocks of lists in the order of the rows. Whoever takes them, the process that has
the night's lock, writes them to the artifact; so the artifact is the same with every engine.

Shapes: R rows, I items.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from reco_batch.confidence import Bound
from reco_batch.dataset import Histories
from reco_batch.linear_rating import LinearRating
from reco_batch.presets import EngineName
from reco_batch.ranking import Candidates, ranked_blocks
from reco_batch.rating_weights import RatingWeights
from reco_batch.reasons import Explained, Influence, Rated, explained
from reco_batch.topk import BLOCK_ROWS, TopK, top_k_blocks

#: Blocks that this process scores with one call, which prepares the catalogue anew.
_LOCAL_BLOCKS: Final = 16

#: What a catalogue makes of some rows: lists, with their reasons or without.
_Block = TypeVar("_Block")
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


class Engine(Protocol):
    """Scores families of lists; several at a time, from several threads."""

    def score(self, catalogue: Catalogue[_Block], rows: Rows) -> Iterator[_Block]:
        """Yield the lists of all rows in their order, a block at a time.

        Raises:
            NotFinite: a weight is.
            NightFailed: the engine lost its workers.
        """
        ...


class LocalEngine(NamedTuple):
    """This process, with its threads."""

    threads: int

    def score(self, catalogue: Catalogue[_Block], rows: Rows) -> Iterator[_Block]:
        """Yield the lists of all rows in their order, a block at a time."""
        for shard in rows.shards(_LOCAL_BLOCKS * BLOCK_ROWS):
            yield from catalogue.score(shard, threads=self.threads)


def open_engine(
    name: EngineName, *, threads: int, ray_address: str | None
) -> AbstractContextManager[Engine]:
    """Return an engine for a `with` block.

    Args:
        name: which one.
        threads: of this process; where Ray runs on this machine alone, its workers.
        ray_address: of a Ray cluster; None starts one on this machine for the night.

    Raises:
        UsageError: that cannot be an address.
        NotInstalled: Ray is missing.
        NightFailed: no Ray answers there.
    """
    if name is EngineName.LOCAL:
        return nullcontext(LocalEngine(threads))
    from reco_batch.ray_engine import open_ray  # noqa: PLC0415  # an optional extra

    return open_ray(ray_address, workers=threads)


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
