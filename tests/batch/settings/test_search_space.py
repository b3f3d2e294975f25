"""Search space: ranges and limits, declared with the defaults."""

from dataclasses import dataclass

import pytest

from reco_batch.settings.hyperparameters import PRESETS
from reco_batch.settings.search_space import (
    Range,
    limits,
    searched,
    specs_of,
    tuned,
    values_of,
    with_values,
)


@dataclass(frozen=True, slots=True)
class Inner:
    """Nested hyper-parameters."""

    width: int = tuned(8, 4, 16, log=True)
    kept: int = 3


@dataclass(frozen=True, slots=True)
class Outer:
    """Hyper-parameters with a nested part."""

    inner: Inner = Inner()
    rate: float = tuned(0.1, 0.01, 1.0, at_least=0.001, at_most=2.0)
    tried: tuple[float, ...] = (0.0, 1.0)


def test_ranges_are_found_by_dotted_name():
    """Nested ones too; a field without a range is not tuned."""
    assert searched(Outer()) == {
        "inner.width": Range(4, 16, log=True),
        "rate": Range(0.01, 1.0, log=False),
    }


def test_values_are_read_and_changed_by_dotted_name():
    """Other values do not change, nor does the original."""
    before = Outer()

    after = with_values(before, {"inner.width": 5, "tried": (2.0,)})

    assert values_of(after) == {
        "inner.width": 5,
        "inner.kept": 3,
        "rate": 0.1,
        "tried": (2.0,),
    }
    assert before == Outer()


def test_limits_are_those_of_the_field_or_of_its_kind():
    """Without limits of its own, an integer starts at 1 and any other number at 0."""
    specs = specs_of(Outer())

    assert limits(specs["inner.kept"]) == (1, None)
    assert limits(specs["rate"]) == (0.001, 2.0)
    assert limits(specs["tried"]) == (0, None)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("model", ["retrieval", "rating"])
def test_presets_are_within_the_search_ranges(name, model):
    """The range is within the limits, and of the type of the field."""
    parameters = getattr(PRESETS[name], model)
    ranges, specs, values = searched(parameters), specs_of(parameters), values_of(parameters)

    assert ranges
    for field, found in ranges.items():
        least, most = limits(specs[field])
        assert least <= found.low <= values[field] <= found.high
        assert most is None or found.high <= most
        assert {type(values[field])} == {type(found.low), type(found.high)}
        assert not found.log or found.low > 0
