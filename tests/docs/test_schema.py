"""docs/schema/v1: published values are valid, others are not, and old readers keep working."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from reco_store.contract.codec import encode_reasons
from reco_store.contract.families import FAMILIES
from reco_store.contract.keys import Keys
from reco_store.control.lock import RunLock
from reco_store.publishing.publisher import publish
from reco_store.read.reader import Reader
from schemas import FOLDER, validate, validator
from small_generations import small_entries

KINDS = ["card", "ids", "list", "manifest", "reasons"]


def test_every_schema_is_valid():
    """Each file is a valid JSON Schema."""
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted([*KINDS, "keys"])
    for kind in KINDS:
        Draft202012Validator.check_schema(json.loads((FOLDER / f"{kind}.json").read_text("utf-8")))


def test_documentation_covers_every_family():
    """keys.json maps each family to its schema; the key table of docs/keys.md has a row for it."""
    schemas = json.loads((FOLDER / "keys.json").read_text("utf-8"))
    page = (FOLDER.parents[1] / "keys.md").read_text("utf-8")
    _, _, data_keys = page.partition("## Data keys")
    table, _, _ = data_keys.partition("\n## ")

    assert schemas == {f"{family.name}:": f"{family.value}.json" for family in FAMILIES}
    rows = set(re.findall(r"^\| `([a-z]+):", table, re.MULTILINE))
    assert rows == {family.name for family in FAMILIES}


def test_encoded_values_are_valid(make_source):
    """Every value of a small generation and its manifest are valid."""
    reasons = encode_reasons(["2", None, "2"], numeric_ids=True)
    source = make_source(entries=[*small_entries(), ("because:1", reasons)])
    for suffix, value in source.pairs:
        validate(suffix, value)
    validator("manifest.json").validate(source.manifest)


@pytest.mark.parametrize(
    ("suffix", "value"),
    [
        ("user:1", b'{"i":[1]}'),
        ("user:1", b'{"i":[-1],"s":[1]}'),
        ("because:1", b'{"i":[-1]}'),
        ("because:1", b'{"i":[[1]]}'),
        ("because:1", b"[null]"),
        ("ranked:1", b'{"i":[1],"s":["1"]}'),
        ("similar:1", b'{"i":[1,1],"s":[2,1]}'),
        ("popular:most_rated", b"[]"),
        ("seen:1", b'{"i":[9007199254740992]}'),
        ("title:x", b'{"i":[""]}'),
        ("movie:1", b'{"y":1995}'),
        ("movie:1", b'{"t":"x","g":"Comedy"}'),
    ],
)
def test_schemas_reject_invalid_values(suffix, value):
    """The schemas reject invalid values."""
    with pytest.raises(ValidationError):
        validate(suffix, value)


def test_a_generation_may_have_no_rating_scale(make_source):
    """A null rating scale means no ratings; a single number is invalid."""
    manifest = make_source().manifest

    validator("manifest.json").validate({**manifest, "rating_scale": None})

    with pytest.raises(ValidationError):
        validator("manifest.json").validate({**manifest, "rating_scale": [5]})


def with_unknown_fields(value: bytes) -> bytes:
    """Insert unknown fields before, between and after the known ones."""
    (first, *rest) = json.loads(value).items()
    fields = [("~a", [1, 2]), first, ("~b", {"i": [7]}), *rest, ("~c", None)]
    return json.dumps(dict(fields)).encode()


def all_answers(reader: Reader) -> list:
    """Return the answers of every verb, without parts that differ between generations."""
    lists = [
        reader.user("1", n=9),
        reader.user("nobody", n=9),
        reader.user("2", n=9, why=True),
        reader.ranked("2", n=9, genres=["Crime", "Comedy"], year_from=1990),
        reader.similar("1", n=9),
        reader.popular("highest_rated", n=9),
        reader.popular("most_rated", "Comedy", n=9),
    ]
    others = [reader.movie("2"), reader.seen("1"), reader.find_title("heat")]
    return [[answer.items for answer in lists], others]


def test_readers_survive_fields_of_later_writers(server, client, keys, make_source):
    """Unknown fields in values and manifest change no answer."""
    reasons = encode_reasons(["2", None, "4"], numeric_ids=True)
    entries = [*small_entries(), ("because:2", reasons)]
    later = make_source(entries=[(s, with_unknown_fields(v)) for s, v in entries])
    for suffix, value in later.pairs:
        validate(suffix, value)
    later.manifest["~new"] = {"optional": True}
    answers = []
    for source in (make_source(entries=entries), later):
        with RunLock(client, keys, heartbeat=False) as lock:
            publish(client, keys, source, lock=lock)
        with Reader(server.url, keys.namespace) as reader:
            answers.append(all_answers(reader))
    assert answers[0] == answers[1]
    assert answers[0][0][0]
    assert answers[0][0][2][0].because == ("2", "Amélie (2001)")


def test_vectors_are_valid():
    """The values of the conformance vectors are valid."""
    namespace = Keys("ns")
    for path in sorted((FOLDER.parents[1] / "conformance" / "vectors").glob("*.json")):
        for step in json.loads(path.read_text("utf-8"))["steps"]:
            for key, value in step.get("write", {}).get("strings", {}).items():
                prefix, _, rest = key.replace("NS", namespace.namespace, 1).partition(":")
                if prefix == namespace.namespace:
                    validate(rest.partition(":")[2], value.encode())
    assert Path(path).name  # there are vectors
