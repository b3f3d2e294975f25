"""SLIM with feature selection (fsSLIM): sparse item-item weights by a non-negative elastic net.

A column of weights predicts one movie from the other movies of a history. Only the movies most
similar to it (`screened`) may have a weight, so time and memory are linear in the size of the
catalogue. Coordinate descent solves all columns of a block at once.

Shapes: I movies, R movies that may have a weight (rows), T target movies, C targets of a block, K
screened neighbours of a target.

Source:
    SLIM and its feature selection: Ning and Karypis, ICDM 2011, doi:10.1109/ICDM.2011.134.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

#: Most sweeps of coordinate descent; and change of all weights by a sweep, relative to their sum,
#: after which more of them hardly change the lists.
_MOST_SWEEPS, _ENOUGH = 8, 0.01
#: Targets solved at a time: 16 MB of systems with 100 neighbours.
_TARGETS_AT_ONCE: Final = 400
#: Common users at which a similarity counts half: one common user is no evidence that two rare
#: movies are similar.
_HALF_SIMILAR: Final = 3.0
#: Weights below this are rounding errors.
_LEAST: Final = 1e-7
#: Linear term of a coordinate that must stay zero.
_NEVER: Final = np.float32(-1e30)


def screened(
    products: sp.csr_matrix,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    totals: NDArray[np.floating],
    *,
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions in `rows` of each target's most similar movies, and their products.

    The similarity is a cosine, shrunk for pairs with few common users.

    Args:
        products: [T, R] weighted numbers of common users.
        rows: [R] movie indices.
        targets: [T] movie indices.
        totals: [R] weighted number of users of each of `rows`.
        most: K.

    Returns:
        Positions in ascending order, [T, K], and their products, [T, K]; -1 and 0 at the beginning
        where a target has fewer neighbours.
    """
    found = np.full((len(targets), most), -1, np.int64)
    wanted = np.zeros(found.shape, np.float32)
    scale = 1 / np.sqrt(np.maximum(totals, 1e-12))
    for place, target in enumerate(targets):
        entries = slice(products.indptr[place], products.indptr[place + 1])
        position, common = products.indices[entries], products.data[entries]
        others = rows[position] != target
        position, common = position[others], common[others]
        if len(position) > most:
            similarity = common * scale[position] * (common / (common + _HALF_SIMILAR))
            kept = np.argpartition(-similarity, most - 1)[:most]
            position, common = position[kept], common[kept]
        order = np.argsort(position)
        found[place, most - len(position) :] = position[order]
        wanted[place, most - len(position) :] = common[order]
    return found, wanted


def solved(
    system: NDArray[np.float32],
    wanted: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    penalties: Sequence[tuple[float, float]],
) -> list[NDArray[np.float32]]:
    """Return the non-negative weights of the screened neighbours for each penalty, [T, K] each.

    Each row w minimises w . system . w / 2 - w . wanted + l1 * sum(w) + l2 * w . w / 2.

    Args:
        system: [R, R], symmetric and positive semi-definite.
        wanted: [T, K] products of each target with its neighbours.
        neighbours: [T, K] positions from `screened`.
        penalties: l1 and l2 of each solution, in the unit of `system`; each solution is the start
            for the next.

    Cost:
        O(T * K^2) time a penalty; collecting the systems of the targets takes as long as two.
    """
    found = [np.zeros(neighbours.shape, np.float32) for _ in penalties]
    for start in range(0, len(neighbours), _TARGETS_AT_ONCE):
        block = slice(start, start + _TARGETS_AT_ONCE)
        # By the flat index, which NumPy takes in less than half the time. A position without a
        # neighbour keeps the weight 0, so its row of the system has no effect.
        own = np.maximum(neighbours[block], 0)
        places = own[:, :, np.newaxis] * len(system) + own[:, np.newaxis, :]
        systems = system.reshape(-1).take(places)  # [C, K, K]
        weights = np.zeros(own.shape, np.float32)
        for solution, (l1, l2) in zip(found, penalties, strict=True):
            linear = np.where(neighbours[block] < 0, _NEVER, wanted[block] - np.float32(l1))
            _descend(systems, linear, weights, l2=np.float32(l2))
            solution[block] = weights
    for weights in found:
        weights[weights < _LEAST] = 0
    return found


def _descend(
    systems: NDArray[np.float32],
    linear: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    l2: np.float32,
) -> None:
    """Solve [C, K, K] systems by cyclic coordinate descent, in place."""
    products = np.matmul(systems, weights[:, :, np.newaxis])[:, :, 0]  # [C, K]
    diagonal = np.einsum("ckk->ck", systems)
    step = 1 / np.maximum(diagonal + l2, np.float32(1e-12))
    for _ in range(_MOST_SWEEPS):
        before = weights.copy()
        for place in range(weights.shape[1]):
            old = weights[:, place]
            new = linear[:, place] - products[:, place] + diagonal[:, place] * old
            new = np.maximum(new * step[:, place], 0)
            change = new - old
            weights[:, place] = new
            products += change[:, np.newaxis] * systems[:, place]
        if np.abs(weights - before).sum() <= _ENOUGH * weights.sum():
            break
