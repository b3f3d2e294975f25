"""What the promises share: seeds and counts.

Each promise has a short form, which CI runs, and a long one (``pytest --soak``). Everything random
is drawn from the promise's name and the number of the trial, so a failure happens again.
"""

from __future__ import annotations

import random

import pytest


@pytest.fixture
def many(request):
    """Choose between the counts of the short form and the long one."""

    def choose(short: int, long: int) -> int:
        return long if request.config.getoption("--soak") else short

    return choose


@pytest.fixture
def draw(request):
    """Make the random numbers of a trial: the same in every run."""

    def make(trial: object = 0) -> random.Random:
        return random.Random(f"{request.node.name}/{trial}")

    return make
