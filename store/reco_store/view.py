"""What a reader remembers of the generation that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from reco_store.errors import ContractMismatch
from reco_store.manifest import created_seconds, load_manifest

if TYPE_CHECKING:
    from reco_store.keys import Keys

__all__ = ["Label", "View"]

#: Title, year, genres, number of ratings.
Label: TypeAlias = "tuple[str, int | None, tuple[str, ...], int]"


class View:
    """One generation, as far as it is known.

    Args:
        keys: the namespace's keys.
        pointer: the pointer's value, which names the generation.
    """

    __slots__ = (
        "created",
        "generation",
        "has_reasons",
        "labels",
        "manifest",
        "pointer",
        "prefix",
    )

    def __init__(self, keys: Keys, pointer: bytes) -> None:
        self.pointer = pointer
        self.generation = pointer.decode("utf-8", "replace")
        self.prefix = keys.data_prefix(self.generation).encode()
        self.labels: dict[str, Label] = {}
        self.manifest: dict[str, Any] = {}  # empty: not read yet
        self.created = 0.0  # seconds since 1970
        self.has_reasons = False  # beside the user lists, as far as the manifest tells

    def key(self, suffix: str) -> bytes:
        """Return the key of a value; an id that is no text stands for the bytes it came from."""
        return self.prefix + suffix.encode("utf-8", "surrogateescape")

    def learn(self, manifest: bytes | None) -> None:
        """Take in the manifest.

        Raises:
            ContractMismatch: there is none, or this version cannot go by it.
        """
        if manifest is None:
            raise ContractMismatch(
                f"no manifest of the live generation {self.generation}",
                "one",
                f"The store lost data; run `batch republish {self.generation}`.",
            )
        self.manifest = load_manifest(manifest, self.generation)
        self.created = created_seconds(self.manifest)
        counts = self.manifest.get("counts")
        self.has_reasons = counts is None or bool(counts.get("because"))
