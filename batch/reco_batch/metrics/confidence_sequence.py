"""Confidence sequences: intervals that are valid at every look at growing data. Pure functions.

An ordinary 95 % interval misses in 5 % of experiments if it is computed once, and far more often
if an operator looks each day and stops at the first success. A confidence sequence misses in 5 % of
experiments at any look, however many there are.
"""

import math

import numpy as np
from numpy.typing import NDArray


def half_width(
    standard_error: NDArray[np.float64], information: NDArray[np.float64], *, error: float
) -> NDArray[np.float64]:
    """Return half the width of the interval of a mean, or of a difference of means.

    The asymptotic confidence sequence of Robbins' normal mixture. It holds for a sum whose
    increments are uncorrelated. It also holds where increments of one user are positively
    correlated, as those of people with steady habits are: the looks then differ less (Slepian's
    inequality).

    Args:
        standard_error: of the estimate at each look, of any shape.
        information: of the same shape: variance of the sum behind the estimate, relative to the
            variance at which the interval is to be tightest; grows from look to look. The reference
            must be the same at all looks.
        error: share of experiments in which the interval misses at any look.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and
        asymptotic confidence sequences, Annals of Statistics 52 (2024), arXiv:2103.06476: the
        sequence of a Gaussian mixture, with the parameter rho that is best at one sample size.
    """
    tightest = -2 * math.log(error)
    tightest += math.log(1 + tightest)
    x = information * tightest
    width: NDArray[np.float64] = np.sqrt((1 + 1 / x) * (np.log1p(x) + 2 * math.log(1 / error)))
    return standard_error * width
