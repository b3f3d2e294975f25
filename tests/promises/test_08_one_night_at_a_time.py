"""Promise 8: of overlapping runs one works, and the others exit at once with code 75."""

from __future__ import annotations

from forked_nights import Night
from real_servers import wait_until
from store_under_fault import KEYS


def the_one_left(started: list[Night]) -> Night:
    """Wait until this run is at its gate and all others have ended."""
    wait_until(lambda: sum("code" in night.state() for night in started) == len(started) - 1)
    (left,) = [night for night in started if "code" not in night.state()]
    wait_until(lambda: left.is_at("gate"))
    return left


def test_08_one_night_at_a_time(make_store, nights, many):
    """Nineteen of twenty simultaneous runs are refused and change nothing."""
    store = make_store()
    store.publish(0)
    for trial in range(many(1, 10)):
        numbers = range(20 * trial + 1, 20 * trial + 21)
        started = [nights.start(store.writer_url, n, waits=True, keep=1) for n in numbers]
        winner = the_one_left(started)
        others = [night for night in started if night is not winner]
        assert {night.wait() for night in others} == {75}
        assert all("another run holds the lock" in night.stderr for night in others)
        number = numbers[started.index(winner)]
        staged = store.expected_names(number) - {KEYS.manifest(store.night(number).generation)}
        assert store.names() == store.expected_names(store.live()) | staged | {KEYS.lock}
        winner.go_on()
        assert winner.wait() == 0
        store.require_only(number)
