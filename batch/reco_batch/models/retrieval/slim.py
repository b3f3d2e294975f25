"""SLIM with feature selection (fsSLIM): sparse item-item weights by a non-negative elastic net.

A column of weights predicts one movie from the other movies of a history. Only the movies most
similar to it (`screened`) may have a weight, so time and memory are linear in the size of the
catalogue.

Shapes: I movies, R movies that may have a weight (rows), T target movies, K screened neighbours of
a target.

Source:
    SLIM and its feature selection: Ning and Karypis, ICDM 2011, doi:10.1109/ICDM.2011.134.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

#: Most sweeps of coordinate descent; and change of a target's weights by a sweep, relative to their
#: sum, after which more of them hardly change the lists.
_MOST_SWEEPS, _ENOUGH = 8, 0.01
#: Common users at which a similarity counts half: one common user is no evidence that two rare
#: movies are similar.
_HALF_SIMILAR: Final = np.float32(3)
#: Weights below this are rounding errors.
_LEAST: Final = 1e-7


class Products(NamedTuple):
    """Factors of the products of all movies with those that may have a weight."""

    movies: sp.csr_matrix  # [I, U]
    rated: sp.csr_matrix  # [U, R], weighted
    counts: sp.csr_matrix  # [I, I] added to the products; may be empty
    places: NDArray[np.int64]  # [I] position among the R movies; -1 for others
    diagonal: NDArray[np.float32]  # [R] added to the product of a movie with itself
    totals: NDArray[np.float32]  # [R] product of each movie with itself, without `counts`


def screened(
    products: Products, targets: NDArray[np.int64], system: NDArray[np.float32], *, most: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions of each target's most similar movies, and their products.

    The similarity is a cosine, shrunk for pairs with few common users.

    Args:
        products: all factors.
        targets: [T] movie indices.
        system: [R, R]; the products of the targets that may have a weight are written to their
            rows.
        most: K.

    Returns:
        Positions in ascending order, [T, K], and their products, [T, K]; -1 and 0 at the beginning
        where a target has fewer neighbours.

    Cost:
        O(users of the targets * their ratings + T * R) time.
    """
    near = np.full((len(targets), most), -1, np.int64)
    wanted = np.zeros(near.shape, np.float32)
    scale = (1 / np.sqrt(np.maximum(products.totals, 1e-12))).astype(np.float32)
    factors = _arrays(products.movies), _arrays(products.rated), _arrays(products.counts)
    _collect(factors, products.places, products.diagonal, scale, targets, system, near, wanted)
    return near, wanted


#: Offsets of the rows, columns and values of a sparse matrix.
_Csr: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


def _arrays(matrix: sp.csr_matrix) -> _Csr:
    """Return the arrays of a sparse matrix, in the types that are compiled."""
    return (
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
    )


# Loops over elements, since Numba compiles assignments to slices four times as long.
@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _collect(  # noqa: PLR0917
    factors: tuple[_Csr, _Csr, _Csr],
    places: NDArray[np.int64],
    diagonal: NDArray[np.float32],
    scale: NDArray[np.float32],
    targets: NDArray[np.int64],
    system: NDArray[np.float32],
    near: NDArray[np.int64],
    wanted: NDArray[np.float32],
) -> None:
    """Write the products of each target to `system`, and the most similar movies to the others."""
    count, most = len(diagonal), near.shape[1]
    products, similarities = np.empty(count, np.float32), np.empty(count, np.float32)
    found, bits = np.empty(count, np.int64), similarities.view(np.int32)
    for row in range(len(targets)):
        own = places[targets[row]]
        _add_up(products, factors, places, targets[row])
        if own >= 0:
            products[own] += diagonal[own]
            for place in range(count):
                system[own, place] = products[place]
            products[own] = 0  # a movie is not its own neighbour
        length = 0
        for place in range(count):
            common = products[place]
            similarity = common * scale[place] * (common / (common + _HALF_SIMILAR))
            if similarity > 0:  # of tiny products it may be 0
                found[length], similarities[length] = place, similarity
                length += 1
        least, equal = _least_of_the_largest(similarities, bits, length, most)
        kept = most - min(length, most)
        for entry in range(length):
            equal -= similarities[entry] == least
            if similarities[entry] > least or (similarities[entry] == least and equal >= 0):
                near[row, kept], wanted[row, kept] = found[entry], products[found[entry]]
                kept += 1


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _add_up(
    products: NDArray[np.float32],
    factors: tuple[_Csr, _Csr, _Csr],
    places: NDArray[np.int64],
    target: int,
) -> None:
    """Set the products of a target with the movies that may have a weight, [R]."""
    (users_of, users, strengths), (rated_by, rated, weights), (counts_of, counted, counts) = factors
    for place in range(len(products)):
        products[place] = 0
    for entry in range(users_of[target], users_of[target + 1]):
        user, strength = users[entry], strengths[entry]
        for place in range(rated_by[user], rated_by[user + 1]):
            products[rated[place]] += strength * weights[place]
    for entry in range(counts_of[target], counts_of[target + 1]):
        if places[counted[entry]] >= 0:
            products[places[counted[entry]]] += counts[entry]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _least_of_the_largest(
    values: NDArray[np.float32], bits: NDArray[np.int32], length: int, most: int
) -> tuple[np.float32, int]:
    """Return the smallest of the `most` largest positive values, and how often it is among them.

    By bisection: the bits of positive numbers have the order of the numbers. 0 and 0 if there are
    no more values than `most`.
    """
    if length <= most:
        return np.float32(0), 0
    low, high, above_high = 0, 0x7F800000, 0  # `most` are above `low`, and fewer above `high`
    while high - low > 1:
        middle = (low + high) // 2
        above = 0
        for place in range(length):
            above += bits[place] > middle
        if above >= most:
            low = middle
        else:
            high, above_high = middle, above
    place = 0
    while bits[place] != high:
        place += 1
    return values[place], most - above_high


def solved(
    system: NDArray[np.float32],
    wanted: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    penalties: Sequence[tuple[float, float]],
) -> NDArray[np.float32]:
    """Return the non-negative weights of the screened neighbours for each penalty, [P, T, K].

    Each row w minimises w . system . w / 2 - w . wanted + l1 * sum(w) + l2 * w . w / 2.

    Args:
        system: [R, R], symmetric and positive semi-definite.
        wanted: [T, K] products of each target with its neighbours.
        neighbours: [T, K] positions from `screened`.
        penalties: l1 and l2 of each of P solutions, in the unit of `system`; each solution is the
            start for the next.

    Cost:
        O(K * V) time a target and sweep, for V weights that are not zero: others cost O(K).
    """
    found = np.zeros((len(penalties), *neighbours.shape), np.float32)
    each = np.array(penalties, np.float32).reshape(-1, 2)
    stop = _MOST_SWEEPS, np.float32(_ENOUGH)
    _descend(system, system.diagonal().copy(), wanted, neighbours, each, stop, found)
    found[found < _LEAST] = 0
    return found


# Plain loops in one function: Numba compiles them at the first call, in 1.5 s, and they are 8 times
# as fast as sweeps over arrays of all targets, which cannot leave out a weight that stays zero.
# Unsigned positions need no check for negative ones, which would take a third of the time.
@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _descend(  # noqa: C901, PLR0917
    system: NDArray[np.float32],
    diagonals: NDArray[np.float32],
    wanted: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    penalties: NDArray[np.float32],
    stop: tuple[int, np.float32],
    found: NDArray[np.float32],
) -> None:
    """Solve all systems by cyclic coordinate descent, and write the weights to `found`, [P, T, K].

    Only rows of `system` whose weight has changed are collected.
    """
    zero, most, (most_sweeps, enough) = np.float32(0), np.uintp(neighbours.shape[1]), stop
    own, diagonal = np.empty(most, np.uintp), np.empty(most, np.float32)
    rows, is_collected = np.empty((most, most), np.float32), np.empty(most, np.bool_)
    weights, products = np.empty(most, np.float32), np.empty(most, np.float32)
    for target in range(len(neighbours)):
        first = np.uintp(np.sum(neighbours[target] < 0))
        count = most - first
        for place in range(count):
            own[place] = np.uintp(neighbours[target, first + place])
            diagonal[place] = diagonals[own[place]]
            weights[place], products[place], is_collected[place] = zero, zero, False
        for solution in range(len(penalties)):
            l1, l2 = penalties[solution, 0], penalties[solution, 1]
            for _ in range(most_sweeps):
                changed, total = zero, zero
                for place in range(count):
                    old = weights[place]
                    new = wanted[target, first + place] - l1 - products[place]
                    new = max(new + diagonal[place] * old, zero)
                    if new == old == zero:
                        continue
                    new /= max(diagonal[place] + l2, np.float32(1e-12))
                    total += new
                    if new == old:
                        continue
                    row = rows[place]
                    if not is_collected[place]:
                        whole = system[own[place]]
                        for other in range(count):
                            row[other] = whole[own[other]]
                        is_collected[place] = True
                    for other in range(count):
                        products[other] += (new - old) * row[other]
                    weights[place] = new
                    changed += abs(new - old)
                if changed <= enough * total:
                    break
            for place in range(count):
                found[solution, target, first + place] = weights[place]
