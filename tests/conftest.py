"""What all tests share."""

import pytest
from hypothesis import settings

# A busy machine makes a good example slow: no example may fail by the clock.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the long form of the tests that have one."""
    parser.addoption("--soak", action="store_true", help="run the promises in their long form")
