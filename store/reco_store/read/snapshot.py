"""What a reader remembers of the generation that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reco_store.contract.manifest import created_seconds, load_manifest
from reco_store.contract.titles import fold_genre
from reco_store.errors import DataLost, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reco_store.contract.keys import Keys

__all__ = ["Label", "View"]

_MOST_NAMED: Final = 30

#: Title, year, genres, number of ratings.
Label: TypeAlias = "tuple[str, int | None, tuple[str, ...], int]"


class View:
    """One generation, as far as it is known.

    Args:
        keys: the namespace's keys.
        pointer: the pointer's value, which names the generation.
    """

    __slots__ = (
        "counts",
        "created",
        "generation",
        "genres",
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
        self.counts: Mapping[str, Any] = {}  # keys by family; empty if the manifest has none
        self.genres: dict[str, list[str]] | None = None  # spellings by folded name, if known

    def key(self, suffix: str) -> bytes:
        """Return the key of a value; an id that is no text stands for the bytes it came from."""
        return self.prefix + suffix.encode("utf-8", "surrogateescape")

    def learn(self, manifest: bytes | None) -> None:
        """Take in the manifest.

        Raises:
            DataLost: there is none.
            ContractMismatch: this version cannot go by it.
        """
        if manifest is None:
            raise DataLost(self.generation, "the manifest")
        self.manifest = load_manifest(manifest, self.generation)
        self.created = created_seconds(self.manifest)
        counts = self.manifest.get("counts")
        self.counts = counts or {}
        self.has_reasons = counts is None or bool(counts.get("because"))
        genres = self.manifest.get("genres")
        if isinstance(genres, list):  # an older generation does not list them
            self.genres = {}
            for genre in genres:
                self.genres.setdefault(fold_genre(str(genre)), []).append(str(genre))

    def require(self, family: str, value: bytes | None, suffix: str) -> None:
        """Refuse to take a key for one that was never published.

        Args:
            family: of the key, which the manifest counts.
            value: of a key that every generation with this family has, or None.
            suffix: of that key.

        Raises:
            DataLost: the key is gone.
        """
        if value is None and self.counts.get(family):
            raise DataLost(self.generation, suffix)

    def spelt(self, genres: Sequence[str], *, verified: bool) -> tuple[str, ...]:
        """Return genres as they are published: case, spaces and hyphens do not matter.

        Args:
            genres: as they are asked for.
            verified: whether this generation is live, so that an unknown genre is a mistake.

        Raises:
            UsageError: there is no such genre.
        """
        if self.genres is None:
            return tuple(genres)
        found: list[str] = []
        for genre in genres:
            spellings = self.genres.get(fold_genre(genre))
            if spellings is None and verified:
                raise UsageError(_unknown_genre(genre, self.genres))
            spellings = spellings or [genre]
            found += [genre] if genre in spellings else []
            found += spellings
        return tuple(dict.fromkeys(found))


def _unknown_genre(genre: str, known: Mapping[str, list[str]]) -> str:
    """Describe a genre that is not published, and name those that are."""
    from difflib import get_close_matches  # noqa: PLC0415  seldom needed

    names = [name for spellings in known.values() for name in spellings]
    near = get_close_matches(fold_genre(genre), known, n=3)
    if near:
        meant = " or ".join(repr(known[name][0]) for name in near)
        return f"genre {genre!r} is unknown; did you mean {meant}?"
    shown = ", ".join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"genre {genre!r} is unknown; expected one of: {shown or 'none is published'}{more}"
