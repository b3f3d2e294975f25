"""Scripts: damaged replies are requested again."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as ConnectionLost

from reco_store.connection.scripts import values, with_retries


@pytest.mark.parametrize("reply", [None, b"a", [b"a"], [b"a", 2.5], [b"a", 1], [b"a", [b"b"]]])
def test_a_damaged_reply_is_requested_again(reply):
    """A short list, or a number in place of a value, is requested again."""
    answers = iter([reply, [b"a", None]])

    assert with_retries(lambda: values(next(answers), 2)) == [b"a", None]


def test_a_reply_that_stays_damaged_is_an_error():
    """Repeatedly damaged replies are an error."""
    with pytest.raises(ConnectionLost, match="damaged"):
        with_retries(lambda: values([2.5], 1))
