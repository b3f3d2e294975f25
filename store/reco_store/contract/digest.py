"""Digest and size statistics over all entries of a generation."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SIZE_BUCKET_BYTES", "Digest", "Summary"]

#: Bucket width of the histogram of value sizes, in bytes.
SIZE_BUCKET_BYTES: Final = 8


class Digest:
    """SHA-256 over the entries of a generation in publishing order, compared after read-back."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, suffix: str, value: bytes) -> None:
        """Add one entry."""
        self.update_many(((suffix, value),))

    def update_many(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Add entries; many at once are faster."""
        pieces: list[bytes] = []
        for suffix, value in entries:
            pieces += (suffix.encode(), value)
        pieces.append(b"")  # so that join ends the last value with a NUL too
        self._hash.update(b"\0".join(pieces))

    def value(self) -> str:
        """Return ``sha256:<hex>`` over every suffix, NUL, value, NUL so far."""
        return f"sha256:{self._hash.hexdigest()}"


class Summary(Digest):
    """Digest with the key counts and size histograms that a manifest contains."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0
        self.size_bytes = 0
        self._counts: Counter[str] = Counter()
        self._suffix_sizes: Counter[int] = Counter()
        self._value_sizes: Counter[int] = Counter()

    def update_many(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Add entries; many at once are faster."""
        batch = list(entries)
        super().update_many(batch)
        sizes = [len(value) for _, value in batch]
        self.entries += len(batch)
        self.size_bytes += sum(sizes)
        self._counts.update(suffix.partition(":")[0] for suffix, _ in batch)
        self._suffix_sizes.update(
            len(suffix) if suffix.isascii() else len(suffix.encode()) for suffix, _ in batch
        )
        self._value_sizes.update(size // SIZE_BUCKET_BYTES * SIZE_BUCKET_BYTES for size in sizes)

    def manifest_fields(self) -> dict[str, Any]:
        """Return the manifest fields that describe the entries.

        The memory forecast uses the histograms.
        """
        return {
            "entries": self.entries,
            "bytes": self.size_bytes,
            "counts": dict(self._counts),
            "digest": self.value(),
            "suffix_sizes": {str(size): n for size, n in sorted(self._suffix_sizes.items())},
            "value_sizes": {str(size): n for size, n in sorted(self._value_sizes.items())},
        }
