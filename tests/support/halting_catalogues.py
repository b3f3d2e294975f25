"""Catalogues whose shard halts on one machine, so that the machine can be lost in mid-shard."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reco_batch.scoring.catalogue import Catalogue, Rows
    from reco_batch.scoring.topk import TopK

SECONDS = 120.0


@dataclass(frozen=True)
class HaltingCatalogue:
    """Catalogue that delegates scoring.

    Environment variables of the worker's machine:

    HALT     `1` on the machine that halts in the middle of its first shard, and never goes on
    HALTED   file that exists from then on; other machines wait for it before each shard
    """

    inner: Catalogue

    @property
    def k(self) -> int:
        """Length of a list."""
        return self.inner.k

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Score half of the shard and halt, or score all of it."""
        halted = Path(os.environ["HALTED"])
        if os.environ.get("HALT"):
            list(self.inner.score(next(rows.shards((len(rows) + 1) // 2)), threads=threads))
            halted.touch()
            time.sleep(SECONDS)
        deadline = time.monotonic() + SECONDS
        while not halted.exists():
            assert time.monotonic() < deadline, "the other machine got no shard"
            time.sleep(0.05)
        yield from self.inner.score(rows, threads=threads)
