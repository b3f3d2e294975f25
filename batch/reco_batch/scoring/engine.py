"""Who scores the lists of a night: an engine, shard by shard, over one pure function.

A shard is some consecutive rows of a family: users, or movies. `Catalogue.score` reads nothing but
the shard and itself, writes nothing, and gives the same bits wherever and however often it is run.
So a shard whose worker was lost is scored again, and nothing has to be taken back.

An engine yields blocks of lists in the order of the rows. Whoever takes them, the process that has
the night's lock, writes them to the artifact; so the artifact is the same with every engine.

Shapes: R rows, I items.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple, Protocol, TypeVar

from reco_batch.scoring.catalogue import Catalogue, Rows
from reco_batch.scoring.topk import BLOCK_ROWS
from reco_batch.settings.hyperparameters import EngineName

#: Blocks that this process scores with one call, which prepares the catalogue anew.
_LOCAL_BLOCKS: Final = 16

#: What a catalogue makes of some rows: lists, with their reasons or without.
_Block = TypeVar("_Block")
_MadeBlock_co = TypeVar("_MadeBlock_co", covariant=True)


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
    from reco_batch.scoring.ray_engine import open_ray  # noqa: PLC0415  # an optional extra

    return open_ray(ray_address, workers=threads)
