"""Prefetching: equal pieces in equal order, a bounded number waiting, and errors in place."""

import threading
from itertools import count, islice

import pytest

from reco_store.prefetch import prefetch, prefetch_map


def test_pieces_come_in_order():
    """All pieces are yielded once, in order; an empty iterable yields none."""
    assert list(prefetch(range(100))) == list(range(100))
    assert list(prefetch(())) == []
    assert list(prefetch([None, False])) == [None, False]


def test_the_next_is_made_while_the_last_is_used():
    """The second piece is computed while the first is used, and the third is not."""
    made = [threading.Event() for _ in range(4)]

    def pieces():
        for event in made:
            event.set()
            yield event

    coming = prefetch(pieces())
    next(coming)

    assert made[1].wait(10)
    assert not made[2].is_set()
    assert [event.is_set() for event in coming] == [True] * 3


def test_error_follows_the_pieces_before_it():
    """Pieces before an error are yielded, then it is raised unchanged."""

    def pieces():
        yield 1
        raise LookupError("two")

    coming = prefetch(pieces())

    assert next(coming) == 1
    with pytest.raises(LookupError, match="two"):
        next(coming)


def test_ending_early_ends_the_thread():
    """An early end leaves no thread behind."""
    before = threading.active_count()
    coming = prefetch(count())

    assert list(islice(coming, 3)) == [0, 1, 2]
    assert threading.active_count() == before + 1
    coming.close()

    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order(threads):
    """Results are in order although the first piece waits for the second to start."""
    second = threading.Event()

    def double(number):
        if number == 0 and threads > 1:
            assert second.wait(10)
        if number == 1:
            second.set()
        return 2 * number

    assert list(prefetch_map(double, range(50), threads=threads)) == list(range(0, 100, 2))
    assert list(prefetch_map(double, (), threads=threads)) == []


def test_no_more_are_taken_than_are_waited_for():
    """At most two pieces for each thread are in progress."""
    taken = []

    def pieces():
        for number in count():
            taken.append(number)
            yield number

    results = prefetch_map(str, pieces(), threads=2)

    assert list(islice(results, 4)) == ["0", "1", "2", "3"]
    assert len(taken) == 3 + 4
    results.close()
    assert len(taken) == 3 + 4


def test_error_follows_the_results_before_it():
    """Results before an error are yielded first."""
    results = prefetch_map(lambda number: 1 // (2 - number), count(), threads=2)

    assert list(islice(results, 2)) == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_error_of_the_pieces_comes_out():
    """An error of the pieces is raised unchanged in the caller's thread."""

    def pieces():
        yield 1
        raise LookupError("two")

    with pytest.raises(LookupError, match="two"):
        list(prefetch_map(str, pieces(), threads=3))


def test_ending_early_ends_all_threads():
    """An early end leaves no thread behind."""
    before = threading.active_count()
    results = prefetch_map(str, count(), threads=3)

    assert next(results) == "0"
    assert threading.active_count() > before
    results.close()

    assert threading.active_count() == before
