"""Working ahead: the same pieces in the same order, one of them waiting, none lost to an error."""

import threading
from itertools import count, islice

import pytest

from reco_store.ahead import ahead


def test_pieces_come_in_order():
    """Nothing is lost, doubled or moved; an iterable without a piece gives none."""
    assert list(ahead(range(100))) == list(range(100))
    assert list(ahead(())) == []
    assert list(ahead([None, False])) == [None, False]


def test_the_next_is_made_while_the_last_is_used():
    """The second piece is there before the first is let go, and no third is begun before that."""
    made = [threading.Event() for _ in range(4)]

    def pieces():
        for event in made:
            event.set()
            yield event

    coming = ahead(pieces())
    next(coming)

    assert made[1].wait(10)
    assert not made[2].is_set()
    assert [event.is_set() for event in coming] == [True] * 3


def test_error_comes_where_its_piece_would():
    """Pieces before an error are given out; then it is raised as it is."""

    def pieces():
        yield 1
        raise LookupError("two")

    coming = ahead(pieces())

    assert next(coming) == 1
    with pytest.raises(LookupError, match="two"):
        next(coming)


def test_ending_early_ends_the_thread():
    """Whoever wants no more leaves no thread behind."""
    before = threading.active_count()
    coming = ahead(count())

    assert list(islice(coming, 3)) == [0, 1, 2]
    assert threading.active_count() == before + 1
    coming.close()

    assert threading.active_count() == before
