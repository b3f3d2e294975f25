"""From the artifact's arrays to the bytes of the key contract, fast.

The same bytes as `reco_store.codec` writes, which is the contract's definition and is tested equal;
this one takes whole Arrow columns and lets orjson read NumPy memory.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from reco_store.codec import round_score

_DUMP = orjson.OPT_SERIALIZE_NUMPY


def encode_lists(movie_ids: pa.ListArray, scores: pa.ListArray) -> Iterator[bytes]:
    """Yield the value of each row of two aligned list columns.

    Args:
        movie_ids: lists of int64 (ids become JSON numbers) or of strings.
        scores: lists of floats, as long.
    """
    ids = _values(movie_ids)
    rounded = round_scores(scores.flatten().to_numpy(zero_copy_only=False))
    for start, stop in _bounds(movie_ids):
        yield orjson.dumps({"i": ids[start:stop], "s": rounded[start:stop]}, option=_DUMP)


def encode_id_lists(movie_ids: pa.ListArray) -> Iterator[bytes]:
    """Yield the value of each row of a list column without scores."""
    ids = _values(movie_ids)
    for start, stop in _bounds(movie_ids):
        yield orjson.dumps({"i": ids[start:stop]}, option=_DUMP)


def encode_movie(
    title: str, year: int | None, genres: list[str], count: int, mean: float | None
) -> bytes:
    """Return the value of a movie's card."""
    rounded = None if mean is None else round(mean * 1000.0) / 1000.0
    return orjson.dumps({"t": title, "y": year, "g": genres, "n": count, "m": rounded})


def round_scores(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Round to thousandths exactly as `reco_store.codec.round_score` does, many at once.

    Raises:
        ContractMismatch: a score is not finite.
    """
    finite = np.isfinite(scores)
    if not finite.all():
        round_score(scores[~finite][0])  # raises: what is no number is refused in one place
    # + 0 makes -0.0 equal to 0.0
    return np.rint(scores.astype(np.float64) * 1000.0) / 1000.0 + 0.0


def _values(lists: pa.ListArray) -> NDArray[np.int64] | list[str]:
    flat = lists.flatten()
    values: NDArray[np.int64] | list[str] = (
        flat.to_numpy() if pa.types.is_integer(flat.type) else flat.to_pylist()
    )
    return values


def _bounds(lists: pa.ListArray) -> Iterator[tuple[int, int]]:
    offsets = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    return zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
