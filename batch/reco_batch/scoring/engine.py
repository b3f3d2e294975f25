"""Engines: score the lists of a run shard by shard, on this machine or on a Ray cluster.

A shard is a range of rows of a family of lists: users or movies. `Catalogue.score` is pure and
deterministic, so a shard whose worker was lost is scored again.

An engine yields blocks of lists in the order of the rows. The process with the run lock writes them
to the artifact, so the artifact is the same with every engine.

Shapes: R rows, I items.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple, Protocol, TypeVar

from reco_batch.scoring.catalogue import Catalogue, Rows
from reco_batch.scoring.topk import BLOCK_ROWS
from reco_batch.settings.hyperparameters import EngineName

#: Blocks that this process scores in one call; each call prepares the catalogue again.
_LOCAL_BLOCKS: Final = 16

#: Block of lists, with or without explanations.
_Block = TypeVar("_Block")
_MadeBlock_co = TypeVar("_MadeBlock_co", covariant=True)


class Engine(Protocol):
    """Engine that scores families of lists, several at a time, from several threads."""

    def score(self, catalogue: Catalogue[_Block], rows: Rows) -> Iterator[_Block]:
        """Yield the lists of all rows in order, a block at a time.

        Raises:
            NotFinite: a weight is not finite.
            NightFailed: the engine lost its workers.
        """
        ...


class LocalEngine(NamedTuple):
    """Engine that scores in threads of this process."""

    threads: int

    def score(self, catalogue: Catalogue[_Block], rows: Rows) -> Iterator[_Block]:
        """Yield the lists of all rows in order, a block at a time."""
        for shard in rows.shards(_LOCAL_BLOCKS * BLOCK_ROWS):
            yield from catalogue.score(shard, threads=self.threads)


def open_engine(
    name: EngineName, *, threads: int, ray_address: str | None
) -> AbstractContextManager[Engine]:
    """Return an engine for a `with` block.

    Args:
        name: name of the engine.
        threads: threads of this process, or workers of a Ray cluster on this machine alone.
        ray_address: address of a Ray cluster; None starts one on this machine for the run.

    Raises:
        UsageError: the address is invalid.
        NotInstalled: Ray is not installed.
        NightFailed: no Ray cluster answers at the address.
    """
    if name is EngineName.LOCAL:
        return nullcontext(LocalEngine(threads))
    from reco_batch.scoring.ray_engine import open_ray  # noqa: PLC0415  # an optional extra

    return open_ray(ray_address, workers=threads)
