"""Digest: the hash of a generation does not depend on the batches of entries."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from reco_store.contract.digest import Digest, Summary

SUFFIXES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
ENTRIES = st.lists(st.tuples(SUFFIXES, st.binary(max_size=99)), max_size=12)


@given(ENTRIES)
def test_definition(entries):
    """The digest is SHA-256 over suffix, NUL, value, NUL, as documented."""
    digest = Digest()
    digest.update_many(entries)
    stream = b"".join(name.encode() + b"\0" + value + b"\0" for name, value in entries)

    assert digest.value() == f"sha256:{hashlib.sha256(stream).hexdigest()}"


@given(ENTRIES, st.integers(0, 12))
def test_batches_do_not_matter(entries, cut):
    """One by one, in two parts or at once, the entries have the same hash."""
    single, parts = Digest(), Summary()
    for entry in entries:
        single.update(*entry)
    parts.update_many(entries[:cut])
    parts.update_many(entries[cut:])

    assert single.value() == parts.value()


@given(ENTRIES)
def test_summary_counts(entries):
    """A summary counts the keys of each family and their sizes."""
    summary = Summary()
    summary.update_many(entries)
    fields = json.loads(json.dumps(summary.manifest_fields()))

    assert fields["entries"] == len(entries) == sum(fields["counts"].values())
    assert fields["bytes"] == sum(len(value) for _, value in entries)
    assert sum(fields["value_sizes"].values()) == len(entries)
    assert sum(int(size) * n for size, n in fields["suffix_sizes"].items()) == sum(
        len(name.encode()) for name, _ in entries
    )
