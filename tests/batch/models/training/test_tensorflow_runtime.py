"""TensorFlow is imported in one module."""

import subprocess
import sys

FIRST = "import os, sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow'); "


def test_tensorflow_with_keras_3_is_refused():
    """An earlier import of TensorFlow with Keras 3 raises an error that explains it."""
    code = (
        FIRST
        + "os.environ.pop('TF_USE_LEGACY_KERAS', None); "
        + "import reco_batch.models.training.tensorflow_runtime"
    )

    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "Import reco_batch first, or set TF_USE_LEGACY_KERAS=1" in ended.stderr


def test_pure_modules_do_without_tensorflow():
    """Scoring, splitting and the artifact need no TensorFlow, so republishing is quick."""
    modules = """
        artifact.check artifact.encoding artifact.folder commands.run_commands
        data.columns data.dataset data.split errors evaluation.list_statistics
        evaluation.top10_diversity gate.churn_checks gate.list_checks gate.judge
        evaluation.evaluate models.trainable models.training.folded_batches night.run
        night.stages progress.reporter scoring.popularity
        scoring.topk settings.gate_thresholds settings.hyperparameters
        settings.run_config
    """
    names = ", ".join(f"reco_batch.{name}" for name in modules.split())
    code = f"import sys, {names}; sys.exit('tensorflow' in sys.modules)"

    ended = subprocess.run([sys.executable, "-c", code], check=False)

    assert ended.returncode == 0


def test_keras_2_is_installed(tf, tfrs):
    """TensorFlow Recommenders needs models of Keras 2."""
    assert tf.keras.Model.__module__.startswith("tf_keras.")
    assert issubclass(tfrs.Model, tf.keras.Model)
