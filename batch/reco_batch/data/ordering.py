"""Order of ratings by user: counted, or sorted by user and value packed into one number."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Bits of a sort key without its sign.
_BITS: Final = 63


def grouped(values: NDArray[Any], groups: NDArray[np.int32]) -> NDArray[Any]:
    """Return the values by ascending group, in their order within each group, [N].

    Args:
        values: [N] numbers.
        groups: [N], from 0.

    Cost:
        O(N) time, a fifth of that of a stable sort for 32 million; 4 bytes a value and the result.
    """
    if not len(groups):
        return values
    # Its import takes a quarter of a second, which a refused input need not wait for.
    import scipy.sparse as sp  # noqa: PLC0415

    # To transpose a matrix of one row, SciPy counts its entries and places them in order.
    shape = (1, int(groups.max()) + 1)
    row = sp.csr_array((values, groups, np.array([0, len(groups)])), shape=shape)
    found: NDArray[Any] = row.tocsc().data
    return found


def user_by_user(
    user_index: NDArray[np.int32], values: NDArray[np.int64], *, ties: NDArray[np.generic]
) -> NDArray[np.int64]:
    """Return the rows by ascending user, then value, then `ties`, as `np.lexsort` does.

    Args:
        user_index: [N], from 0.
        values: [N].
        ties: [N], sort order of ratings with the same user and value; distinct among those.

    Returns:
        [N] rows.

    Cost:
        O(N log N) time: a quarter of that of `np.lexsort` if few ratings share user and value, and
        the same if most do. 26 bytes a rating, and 32 more for each rating with a tie.
    """
    if not len(user_index):
        return np.zeros(0, np.int64)
    least, most = int(values.min()), int(values.max())
    bits = (most - least).bit_length()
    if int(user_index.max()).bit_length() + bits > _BITS:
        return np.lexsort((ties, values, user_index))
    key = user_index.astype(np.int64)
    key <<= bits
    key |= values - least
    order = np.argsort(key)
    alike = _alike(key[order])
    rows = order[alike]
    rows = rows[np.argsort(ties[rows])]
    order[alike] = rows[np.argsort(key[rows], kind="stable")]
    return order


def _alike(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the ascending values occur more than once, [N]."""
    alike = np.zeros(len(values), bool)
    same = values[1:] == values[:-1]
    alike[1:] |= same
    alike[:-1] |= same
    return alike
