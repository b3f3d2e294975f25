"""Catalogues whose scoring leaves a trace, and kills the worker that it runs in."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reco_batch.scoring.catalogue import Catalogue, Rows
    from reco_batch.scoring.topk import TopK


#: Rows of a shard: one tile of a small catalogue.
SHARD = 256


@dataclass(frozen=True)
class DyingCatalogue:
    """Scores as another one does; at the given start of a shard, its worker is killed midway."""

    inner: Catalogue
    folder: Path
    """Of one empty file for each shard that was begun, named by its number and the process."""
    number: int
    """Which shard of those begun."""
    always: bool = False
    """Whether every attempt dies, not only the first."""

    @property
    def k(self) -> int:
        """How long a list is."""
        return self.inner.k

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Score half of the shard; die, or score all of it."""
        first = rows.vectors["queries"][0, 0]  # the number of the row, in these tests
        shard = int(first) // SHARD
        (self.folder / f"{shard}-{os.getpid()}").touch()
        list(self.inner.score(next(rows.shards(SHARD // 2)), threads=threads))
        if shard == self.number:
            with suppress(FileExistsError):
                (self.folder / "killed").touch(exist_ok=self.always)
                os.kill(os.getpid(), signal.SIGKILL)
        yield from self.inner.score(rows, threads=threads)
