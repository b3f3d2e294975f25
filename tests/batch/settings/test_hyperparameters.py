"""Presets: frozen, storable as JSON, and the notebook's values."""

import dataclasses
import json

import pytest

from reco_batch.settings.hyperparameters import PRESETS


def test_notebook_is_the_notebook():
    """Each hyper-parameter equals the notebook's, and nothing is trained twice."""
    preset = PRESETS["notebook"]

    assert preset.to_dict() == {
        "retrieval": {
            "embedding_dim": 64,
            "learning_rate": 0.01,
            "epochs": 15,
            "batch_size": 4096,
        },
        "rating": {
            "embedding_dim": 64,
            "hidden_units": (256, 64),
            "learning_rate": 0.05,
            "epochs": 40,
            "batch_size": 4096,
        },
    }
    assert preset.refit is False


def test_default_publishes_models_of_all_ratings():
    """The published models train on the held-out ratings too."""
    assert PRESETS["default"].refit is True


@pytest.mark.parametrize("name", PRESETS)
def test_manifest_can_hold_the_parameters(name):
    """The parameters survive JSON."""
    parameters = PRESETS[name].to_dict()

    assert json.loads(json.dumps(parameters)).keys() == parameters.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_frozen(name):
    """No code can change the values of a preset."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS[name].retrieval = None
