"""The hyper-parameter file: `batch tune` writes it, `batch run` reads it."""

import json
from dataclasses import replace

import pytest

from reco_batch.settings.hyperparameters import PRESETS, NeighbourKind
from reco_batch.settings.search_space import with_values
from reco_batch.tuning.parameter_file import read_parameters, write_parameters
from reco_store import UsageError


def test_written_values_are_read(tmp_path):
    """The other values are those of the preset."""
    values = {"retrieval": {"tower.l2": 0.25, "tower.steps": 7}, "rating": {"ridge_l2": 3.5}}

    write_parameters(tmp_path / "p.json", preset="default", values=values, tuned={"trials": 3})

    known = PRESETS["default"]
    assert read_parameters(tmp_path / "p.json", preset="default") == replace(
        known,
        retrieval=with_values(known.retrieval, values["retrieval"]),
        rating=with_values(known.rating, values["rating"]),
    )


def test_a_whole_number_does_for_a_fraction(tmp_path):
    """JSON has one kind of number."""
    content = {"preset": "default", "retrieval": {"tower.l2": 1}}
    (tmp_path / "p.json").write_text(json.dumps(content))

    found = read_parameters(tmp_path / "p.json", preset="default").retrieval

    assert found.tower.l2 == 1.0
    assert isinstance(found.tower.l2, float)


def test_lists_are_tuples(tmp_path):
    """JSON has no tuples."""
    content = {"preset": "notebook", "rating": {"hidden_units": [3, 2]}}
    (tmp_path / "p.json").write_text(json.dumps(content))

    assert read_parameters(tmp_path / "p.json", preset="notebook").rating.hidden_units == (3, 2)


@pytest.mark.parametrize("kind", NeighbourKind)
def test_a_choice_is_given_by_its_name(tmp_path, kind):
    """As in the manifest, from which a parameter file may be copied."""
    content = {"preset": "default", "retrieval": {"neighbours.kind": kind.value}}
    (tmp_path / "p.json").write_text(json.dumps(content))

    found = read_parameters(tmp_path / "p.json", preset="default").retrieval.neighbours.kind

    assert found is kind


@pytest.mark.parametrize(
    "values",
    [
        {"dislike_weight": -1},
        {"popularity_share": -10},
        {"tower_share": 0, "neighbour_share": 0, "recent_share": 0},
    ],
)
def test_some_weights_may_be_negative_or_zero(tmp_path, values):
    """The lowest allowed values."""
    content = {"preset": "default", "retrieval": values}
    (tmp_path / "p.json").write_text(json.dumps(content))

    found = read_parameters(tmp_path / "p.json", preset="default").retrieval

    assert found == with_values(PRESETS["default"].retrieval, values)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"colour": 1}, r"'colour' is not known; expected one of preset, retrieval, rating, tuned"),
        ({"preset": "notebook"}, r"the preset is 'notebook'; expected 'default'"),
        ({"preset": None}, r"the preset is None; expected 'default'"),
        ({"retrieval": 3}, r"retrieval is 3; expected an object of values by name"),
        ({"retrieval": {"tower.l3": 1}}, r"'tower.l3' is not known; expected one of .*tower\.l2"),
        ({"retrieval": {"tower": {}}}, r"'tower' is not known; expected one of"),
        ({"retrieval": {"tower.steps": 0}}, r"tower.steps is 0; expected a whole number from 1$"),
        ({"retrieval": {"tower.steps": 2.5}}, r"tower.steps is 2.5; expected a whole number"),
        ({"retrieval": {"tower.steps": True}}, r"tower.steps is True; expected a whole number"),
        ({"retrieval": {"tower.l2": "a"}}, r"tower.l2 is 'a'; expected a number from 0$"),
        ({"retrieval": {"tower.l2": -1}}, r"tower.l2 is -1; expected a number from 0$"),
        (
            {"rating": {"ridge_factor_scale": float("nan")}},
            r"factor_scale is nan; expected a number from 0$",
        ),
        (
            {"rating": {"ridge_factor_scale": float("inf")}},
            r"factor_scale is inf; expected a number from 0$",
        ),
        ({"rating": {"ridge_share": 1.5}}, r"ridge_share is 1.5; expected a number from 0 to 1$"),
        (
            {"retrieval": {"neighbours.kind": "nonsense"}},
            r"neighbours.kind is 'nonsense'; expected one of ordered, slim, walk$",
        ),
        ({"retrieval": {"neighbours.kind": 2}}, r"kind is 2; expected one of ordered, slim, walk$"),
        ({"retrieval": {"neighbours.kind": []}}, r"kind is \[\]; expected one of ordered"),
        ({"retrieval": {"dislike_weight": -1.5}}, r"_weight is -1.5; expected a number from -1$"),
        ({"retrieval": {"popularity_share": -11}}, r"_share is -11; expected a number from -10$"),
        ({"retrieval": {"tower_share": -0.5}}, r"tower_share is -0.5; expected a number from 0$"),
    ],
)
def test_a_wrong_value_is_refused(tmp_path, content, found):
    """The error contains the file, the key, the value and the expected one."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"preset": "default"} | content))

    with pytest.raises(UsageError, match=f"^{path}: .*{found}"):
        read_parameters(path, preset="default")


def test_a_list_has_the_length_of_the_default(tmp_path):
    """The notebook's network has two layers."""
    path = tmp_path / "p.json"

    def read(units):
        content = {"preset": "notebook", "rating": {"hidden_units": units}}
        path.write_text(json.dumps(content))
        return read_parameters(path, preset="notebook").rating.hidden_units

    assert read([3, 2]) == (3, 2)
    for units in ([3, 2, 1], [], [3, 0.5], 3):
        with pytest.raises(UsageError, match="expected a list of 2, each a whole number from 1"):
            read(units)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", None])
def test_an_unreadable_file_is_refused(tmp_path, content):
    """A missing file, a truncated one, and one of another format."""
    path = tmp_path / "p.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match=f"^{path}: "):
        read_parameters(path, preset="default")


def test_a_kind_is_one_of_its_names(tmp_path):
    """A value that is neither a number nor a list is a name."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"preset": "default", "retrieval": {"neighbours.kind": "walk"}}))

    assert read_parameters(path, preset="default").retrieval.neighbours.kind is NeighbourKind.WALK

    path.write_text(json.dumps({"preset": "default", "retrieval": {"neighbours.kind": "ease"}}))
    found = "neighbours.kind is 'ease'; expected one of ordered, slim, walk$"
    with pytest.raises(UsageError, match=found):
        read_parameters(path, preset="default")


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        ("retrieval", "neighbours.factors", r"neighbours\.kind, neighbours\.l1, .*, tower\.\*$"),
        ("retrieval", "popularity_discount", r"arrival.*, tower_share, neighbours\.\*, tower\.\*$"),
        ("rating", "members", r"bias_shrinkage, embedding_dim, .*, window$"),
    ],
)
def test_an_unknown_name_is_refused_with_those_of_its_group(tmp_path, model, name, expected):
    """The other groups are patterns, so that the message stays short."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"preset": "default", model: {name: 1}}))

    with pytest.raises(UsageError, match=f"{name}' is not known; expected one of {expected}") as it:
        read_parameters(path, preset="default")
    assert len(str(it.value)) - len(str(path)) < 500
