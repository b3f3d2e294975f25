"""Presets: frozen, storable as JSON, and the notebook's values."""

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
