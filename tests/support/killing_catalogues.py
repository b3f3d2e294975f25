"""Catalogues that record each scoring attempt and kill the worker that runs it."""

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
class KillingCatalogue:
    """Catalogue that delegates scoring and kills its worker midway through a given shard."""

    inner: Catalogue
    folder: Path
    """Folder with one empty file per started shard, named by shard number and process."""
    number: int
    """Index of the fatal shard among the started ones."""
    always: bool = False
    """Kill the worker in every attempt, not only in the first."""

    @property
    def k(self) -> int:
        """Length of a list."""
        return self.inner.k

    def score(self, rows: Rows, *, threads: int) -> Iterator[TopK]:
        """Score half of the shard, then kill the worker or score all of it."""
        first = rows.vectors["queries"][0, 0]  # queries hold row numbers in these tests
        shard = int(first) // SHARD
        (self.folder / f"{shard}-{os.getpid()}").touch()
        list(self.inner.score(next(rows.shards(SHARD // 2)), threads=threads))
        if shard == self.number:
            with suppress(FileExistsError):
                (self.folder / "killed").touch(exist_ok=self.always)
                os.kill(os.getpid(), signal.SIGKILL)
        yield from self.inner.score(rows, threads=threads)
