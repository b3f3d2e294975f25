"""Confidence sequences: the published formula, and errors under repeated looks."""

import math

import numpy as np
import pytest

from reco_batch.metrics.confidence_sequence import half_width

LOOKS = 400


@pytest.fixture(scope="module")
def sums():
    """Return the sums of 1,000 series of independent values of mean 0, [seeds, looks]."""
    rng = np.random.default_rng(11)
    return np.cumsum(rng.exponential(size=(1_000, LOOKS)) - 1, axis=1)[:, 19:]


@pytest.mark.parametrize(("count", "tightest"), [(10, 100), (100, 100), (5_000, 100)])
def test_the_formula_is_the_published_one(count, tightest):
    """Waudby-Smith et al. write it with the number of values and rho."""
    alpha, deviation = 0.05, 3.0
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tightest
    inner = math.log(math.sqrt(count * rho2 + 1) / alpha)
    published = deviation * math.sqrt(2 * (count * rho2 + 1) / (count**2 * rho2) * inner)

    looks = np.array([count], float)
    ours = half_width(deviation / np.sqrt(looks), looks / tightest, error=alpha)

    assert ours == pytest.approx(published)


def test_it_is_tightest_at_the_reference():
    """Relative to an ordinary interval at the same look."""
    grid = np.geomspace(0.05, 20, 401)
    widths = half_width(np.ones_like(grid), grid, error=0.05)

    assert grid[np.argmin(widths)] == pytest.approx(1, rel=0.05)
    assert 1.5 < widths.min() / 1.96 < 1.6


def test_at_most_the_error_is_missed_at_any_look(sums):
    """An ordinary interval, looked at as often, misses several times as much."""
    count = np.arange(20, LOOKS + 1)
    error = 1 / np.sqrt(count)
    width = half_width(error, count / 200, error=0.05)

    missed = (np.abs(sums / count) > width).any(axis=1).mean()
    naive = (np.abs(sums / count) > 1.96 * error).any(axis=1).mean()

    assert missed <= 0.05
    assert naive > 0.2
