"""Encoding of Arrow columns as values of the key contract.

The bytes equal those of `reco_store.contract.codec`, the reference implementation; a test compares
them. Numbers of small ranges are looked up in a table of texts, each with a comma after it. Arrow
writes the texts that it looks up one after the other, so a list is a range of bytes. All without
the GIL.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco_store.contract.codec import round_score

#: Ids below this limit are looked up; larger ones are formatted.
_MOST_IDS: Final = 1 << 20
#: Scores of a magnitude below this limit, in thousandths, are looked up.
_MOST_THOUSANDTHS: Final = 1 << 20


def encode_lists(movie_ids: pa.ListArray, scores: pa.ListArray) -> list[bytes]:
    """Return the value of each row of two aligned list columns.

    Args:
        movie_ids: lists of int64 (ids become JSON numbers) or of strings.
        scores: lists of floats, of the same lengths.

    Raises:
        ContractMismatch: a score is not finite.
    """
    ids = _joined(movie_ids, _id_texts(movie_ids.flatten()))
    numbers = scores.flatten().to_numpy(zero_copy_only=False)
    return _values(b'{"i":[', ids, b'],"s":[', _joined(scores, _score_texts(numbers)), b"]}")


def encode_id_lists(movie_ids: pa.ListArray) -> list[bytes]:
    """Return the value of each row of a list column without scores."""
    return _values(b'{"i":[', _joined(movie_ids, _id_texts(movie_ids.flatten())), b"]}")


def encode_reasons(movie_ids: pa.ListArray) -> list[bytes]:
    """Return the value of each row of an explanation column; null means no explanation."""
    texts = _id_texts(movie_ids.flatten()).fill_null("null,")
    return _values(b'{"i":[', _joined(movie_ids, texts), b"]}")


def encode_movie(
    title: str, year: int | None, genres: list[str], count: int, mean: float | None
) -> bytes:
    """Return the value of a movie card."""
    rounded = None if mean is None else round(mean * 1000.0) / 1000.0
    return orjson.dumps({"t": title, "y": year, "g": genres, "n": count, "m": rounded})


def thousandths(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return scores in whole thousandths, rounded as `codec.round_score` rounds.

    Raises:
        ContractMismatch: a score is not finite.
    """
    finite = np.isfinite(scores)
    if not finite.all():
        round_score(scores[~finite][0])  # raises ContractMismatch
    return np.rint(scores.astype(np.float64) * 1000.0)


def _values(*parts: bytes | pa.Array) -> list[bytes]:
    values: list[bytes] = pc.binary_join_element_wise(*parts, b"").to_pylist()
    return values


def _joined(lists: pa.ListArray, texts: pa.Array) -> pa.Array:
    """Return the texts of each list, joined by commas, as binary values.

    Args:
        lists: lists, for their offsets.
        texts: text of each flat value with a comma after it; not null.
    """
    _, ends, data = texts.buffers()
    flat = lists.offsets.to_numpy() - lists.offsets[0].as_py() + texts.offset
    offsets = np.frombuffer(ends, np.int32)[flat]
    rows = pa.BinaryArray.from_buffers(pa.binary(), len(lists), [None, pa.py_buffer(offsets), data])
    return pc.binary_slice(rows, 0, -1)


def _id_texts(ids: pa.Array) -> pa.Array:
    """Return ids as JSON texts, each with a comma after it."""
    if not pa.types.is_integer(ids.type):
        distinct = ids.dictionary_encode()
        quoted = [orjson.dumps(text).decode() for text in distinct.dictionary.to_pylist()]
        return _with_commas(pa.array(quoted, pa.string())).take(distinct.indices)
    largest = pc.max(ids).as_py() or 0
    if largest >= _MOST_IDS:
        return _with_commas(ids.cast(pa.string()))
    return _integers(_table_size(largest)).take(ids)


def _with_commas(texts: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise(texts, "", ",")


def _score_texts(scores: NDArray[Any]) -> pa.Array:
    """Return scores as JSON texts, each with a comma after it."""
    whole = thousandths(scores)
    largest = np.abs(whole).max(initial=0)
    if largest >= _MOST_THOUSANDTHS:
        return _numbers(whole)
    size = _table_size(int(largest))
    return _scores(size).take(pa.array((whole + size).astype(np.int32)))


def _table_size(largest: int) -> int:
    """Return a power of two above a number, so that few different tables are cached."""
    return 1 << largest.bit_length()


@lru_cache(maxsize=2)
def _integers(size: int) -> pa.Array:
    """Return the texts of 0 to `size` - 1, each with a comma after it."""
    return _with_commas(pa.array(np.arange(size)).cast(pa.string()))


@lru_cache(maxsize=4)
def _scores(size: int) -> pa.Array:
    """Return the texts of -`size` to `size` thousandths, each with a comma after it."""
    return _numbers(np.arange(-size, size + 1, dtype=np.float64))


def _numbers(whole: NDArray[np.float64]) -> pa.Array:
    """Return the JSON texts of numbers given in thousandths, each with a comma after it."""
    rounded = whole / 1000.0 + 0.0  # + 0 makes -0.0 equal to 0.0
    written = orjson.dumps(rounded, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    return _with_commas(pa.array(written.split(b",") if len(whole) else [], pa.string()))
