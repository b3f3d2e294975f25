"""Scripts: what comes back is what was asked for, or is asked for again."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as ConnectionLost

from reco_store.connection.scripts import insist, values


@pytest.mark.parametrize("reply", [None, b"a", [b"a"], [b"a", 2.5], [b"a", 1], [b"a", [b"b"]]])
def test_a_damaged_reply_is_requested_again(reply):
    """A list that is too short, or a number where a value was, is no answer."""
    answers = iter([reply, [b"a", None]])

    assert insist(lambda: values(next(answers), 2)) == [b"a", None]


def test_a_reply_that_stays_damaged_is_an_error():
    """Not for ever."""
    with pytest.raises(ConnectionLost, match="damaged"):
        insist(lambda: values([2.5], 1))
