"""Sort order of ratings by user and value, packed into one number; ties are sorted separately."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Bits of a sort key without its sign.
_BITS: Final = 63


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
