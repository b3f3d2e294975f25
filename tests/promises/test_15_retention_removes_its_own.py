"""Promise 15: a run deletes only keys that runs wrote.

benchmarks/serving.py measures how long readers wait meanwhile.
"""

from __future__ import annotations

import hashlib

from small_generations import night_of, small_entries
from store_under_fault import KEYS

IDS = ["a:b", "{x}", "{", "}", "*", "?", "[a-z]", "user:1", " ", "é\0\n", "\\", "..", "current"]


def hostile_night(number: int):
    """Make a generation whose ids contain the special characters of keys, patterns and slots."""
    entries = [(f"user:{name}", b'{"i":[1],"s":[%d]}' % number) for name in IDS]
    return night_of(number, [*entries, *small_entries(float(number))])


def look_alikes(generation: str) -> list[str]:
    """Return names that resemble those of a generation."""
    data, manifest = KEYS.data(generation, "user:1"), KEYS.manifest(generation)
    near = [f"{data}0", data[:-1], data.upper(), f"x{data}", data.replace("reco:", "reco-2:")]
    near += [data.replace("reco:", "{reco}:"), f"reco:{generation}", f"reco:{generation}x:user:1"]
    near += [f"{manifest}x", manifest.replace("{reco}", "{reco-2}"), "{reco}:currently", "{reco}"]
    return [*near, "reco", "reco*", "reco:*", "*", f"reco:{generation}:*", "{reco}:inventory:x:0"]


def digest_of(store, names: list[str]) -> str:
    """Return a hash over the stored values of some names."""
    hashed = hashlib.sha256()
    for start in range(0, len(names), 5000):
        batch = names[start : start + 5000]
        hashed.update(repr(store.admin.mget(batch)).encode())
    return hashed.hexdigest()


def test_15_retention_removes_its_own(make_store, many):
    """Replacing generations among foreign and similar keys changes no other key and leaves none."""
    store = make_store(make_night=hostile_night)
    foreign = [f"other:{number}" for number in range(many(20_000, 500_000))]
    for number in range(4):
        foreign += look_alikes(store.night(number).generation)
    for start in range(0, len(foreign), 5000):
        store.admin.mset({name: f"value of {name}" for name in foreign[start : start + 5000]})
    before = digest_of(store, foreign)

    for number in range(4):
        store.publish(number, keep=2)
    assert store.names() - set(foreign) == store.expected_names(3, 2)
    store.publish(4, keep=1)
    assert store.live() == 4
    assert store.names() - set(foreign) == store.expected_names(4)
    assert digest_of(store, foreign) == before
    assert store.admin.dbsize() == len(set(foreign) | store.expected_names(4))
