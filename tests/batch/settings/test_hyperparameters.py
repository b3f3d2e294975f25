"""The presets: the notebook's numbers do not move."""

from reco_batch.settings.hyperparameters import PRESETS


def test_notebook_is_the_notebook():
    """Each hyper-parameter is that of the notebook, and nothing is trained twice."""
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
    """A night publishes models that saw what was held out, too."""
    assert PRESETS["default"].refit is True
