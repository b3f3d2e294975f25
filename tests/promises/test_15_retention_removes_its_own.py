"""Promise 15: a run deletes only keys that runs wrote.

benchmarks/serving.py measures how long readers wait meanwhile.
"""

from __future__ import annotations

from small_generations import night_of, small_entries
from store_under_fault import look_alikes

IDS = ["a:b", "{x}", "{", "}", "*", "?", "[a-z]", "user:1", " ", "é\0\n", "\\", "..", "current"]


def hostile_night(number: int):
    """Make a generation whose ids contain the special characters of keys, patterns and slots."""
    entries = [(f"user:{name}", b'{"i":[1],"s":[%d]}' % number) for name in IDS]
    return night_of(number, [*entries, *small_entries(float(number))])


def test_15_retention_removes_its_own(make_store, many):
    """Replacing generations among foreign and similar keys changes no other key and leaves none."""
    store = make_store(make_night=hostile_night)
    foreign = [f"other:{number}" for number in range(many(20_000, 500_000))]
    for number in range(4):
        foreign += look_alikes(store.night(number).generation)
    for start in range(0, len(foreign), 5000):
        store.admin.mset({name: f"value of {name}" for name in foreign[start : start + 5000]})
    before = store.digest_of(foreign)

    for number in range(4):
        store.publish(number, keep=2)
    assert store.names() - set(foreign) == store.expected_names(3, 2)
    store.publish(4, keep=1)
    assert store.live() == 4
    assert store.names() - set(foreign) == store.expected_names(4)
    assert store.digest_of(foreign) == before
    assert store.admin.dbsize() == len(set(foreign) | store.expected_names(4))
