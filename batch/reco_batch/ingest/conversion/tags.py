"""Tags of items: texts and lists of one or several columns, split and joined."""

import ast
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

_NO_GENRES: Final = "(no genres listed)"


def separator_of(texts: Iterable[str]) -> str:
    """Return the separator of tags: | or, if no item has one, a comma or a semicolon."""
    plain = [text for text in texts if not text.startswith("[")]
    if any("|" in text for text in plain):
        return "|"
    return next((one for one in (",", ";") if any(one in text for text in plain)), "|")


def split_tags(text: str, separator: str = "|") -> tuple[str, ...]:
    """Return the tags in a text, each once."""
    names = (part.strip() for part in _listed(text) or text.split(separator))
    return tuple(dict.fromkeys(name for name in names if name and name != _NO_GENRES))


def joined(columns: Sequence["pd.Series[str]"]) -> list[str]:
    """Return the tags of several columns, each split by its own separator, with | between them."""
    texts = [column.tolist() for column in columns]
    separators = [separator_of(own) for own in texts]
    return [
        "|".join(
            dict.fromkeys(
                tag
                for text, separator in zip(row, separators, strict=True)
                for tag in split_tags(text, separator)
            )
        )
        for row in zip(*texts, strict=True)
    ]


def _listed(text: str) -> list[str] | None:
    """Return the tags in a JSON or Python list; None if the text is not a list.

    A list contains names, or objects with a name as in TMDB.
    """
    if not text.startswith("["):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            named = [one.get("name") if isinstance(one, dict) else one for one in found]
            if all(isinstance(one, str) for one in named):
                return list(map(str, named)) or [""]
    return None
