"""Snapshot of a generation: its manifest and labels, as cached by a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reco_store.contract.keys import BY_MOST_RATED, POPULAR_KINDS
from reco_store.contract.manifest import created_seconds, load_manifest
from reco_store.contract.titles import fold_genre
from reco_store.contract.words import DEFAULT_WORDS, words_of
from reco_store.errors import DataLost, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reco_store.contract.keys import Keys

__all__ = ["Label", "Snapshot"]

_MOST_NAMED: Final = 30

#: Label of a movie: title, year, genres, number of ratings.
Label: TypeAlias = "tuple[str, int | None, tuple[str, ...], int]"


class Snapshot:
    """Cache of one generation, which requests fill.

    Args:
        keys: keys of the namespace.
        mark: value that tells whether the generation may still be read: the pointer, or the
            manifest of a generation that was named.
        generation: name of the generation.
    """

    __slots__ = (
        "counts",
        "created",
        "generation",
        "genres",
        "has_reasons",
        "labels",
        "manifest",
        "mark",
        "prefix",
        "stand_in",
        "words",
    )

    def __init__(self, keys: Keys, mark: bytes, generation: str) -> None:
        self.mark = mark
        self.generation = generation
        self.prefix = keys.data_prefix(self.generation).encode()
        self.labels: dict[str, Label] = {}
        self.manifest: dict[str, Any] = {}  # empty until it is read
        self.created = 0.0  # seconds since 1970
        self.has_reasons = False  # True unless the manifest counts no explanations
        self.counts: Mapping[str, Any] = {}  # family -> number of keys; empty if unknown
        self.stand_in = BY_MOST_RATED  # popular list that precedes the most rated in fallbacks
        self.words = DEFAULT_WORDS
        self.genres: dict[str, list[str]] | None = None  # folded name -> spellings; None if unknown

    @property
    def is_named(self) -> bool:
        """True if the reader named the generation, so that the mark is its manifest."""
        return self.mark.decode("utf-8", "replace") != self.generation

    def key(self, suffix: str) -> bytes:
        """Return the key of a suffix; surrogate escapes in it become the bytes that they encode."""
        return self.prefix + suffix.encode("utf-8", "surrogateescape")

    def learn(self, manifest: bytes | None) -> None:
        """Parse the manifest and cache it.

        Raises:
            DataLost: the manifest is missing.
            ContractMismatch: it follows another contract.
        """
        if manifest is None:
            raise DataLost(self.generation, "the manifest", named=self.is_named)
        self.manifest = load_manifest(manifest, self.generation)
        self.created = created_seconds(self.manifest)
        counts = self.manifest.get("counts")
        self.counts = counts or {}
        self.has_reasons = counts is None or bool(counts.get("because"))
        stand_in = self.manifest.get("stand_in")
        self.stand_in = stand_in if stand_in in POPULAR_KINDS else BY_MOST_RATED
        self.words = words_of(self.manifest)
        genres = self.manifest.get("genres")
        if isinstance(genres, list):  # an older generation does not list them
            self.genres = {}
            for genre in genres:
                self.genres.setdefault(fold_genre(str(genre)), []).append(str(genre))

    def require(self, family: str, value: bytes | None, suffix: str) -> None:
        """Refuse a missing key that must have been published.

        Args:
            family: family of the key, as counted in the manifest.
            value: value of a key that every generation with this family has; None if missing.
            suffix: suffix of that key.

        Raises:
            DataLost: the key is missing.
        """
        if value is None and self.counts.get(family):
            raise DataLost(self.generation, suffix, named=self.is_named)

    def spelled(self, genres: Sequence[str], *, verified: bool) -> tuple[str, ...]:
        """Return genres as they are published, ignoring case, spaces and hyphens.

        Args:
            genres: genres as spelled by the caller.
            verified: True if this generation is live, so that an unknown genre is a mistake.

        Raises:
            UsageError: a genre is unknown.
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
    """Return the message about an unknown genre, with similar or with all genres."""
    from difflib import get_close_matches  # noqa: PLC0415  seldom needed

    names = [name for spellings in known.values() for name in spellings]
    near = get_close_matches(fold_genre(genre), known, n=3)
    if near:
        meant = " or ".join(repr(known[name][0]) for name in near)
        return f"genre {genre!r} is unknown; did you mean {meant}?"
    shown = ", ".join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"genre {genre!r} is unknown; expected one of: {shown or 'none is published'}{more}"
