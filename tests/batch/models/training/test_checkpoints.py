"""Checkpoints: stopped trainings resume to the same bits, and damaged ones are not loaded."""

import errno

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stopped_training import Stopped, StoppingStage


@pytest.fixture
def checkpoints(tmp_path, tf):
    """Make the checkpoints of one training; `messages` collects the messages."""
    from reco_batch.models.training.checkpoints import Checkpoints  # noqa: PLC0415  # TensorFlow

    def make(**more):
        messages = []
        made = Checkpoints(
            tmp_path / "training",
            **{"training": "train it", "every_seconds": 0, "show": messages.append, **more},
        )
        made.messages = messages
        return made

    return make


@pytest.fixture(params=["retrieval", "rating"])
def fit(request):
    """Train a small model of either kind on the planted ratings."""
    return request.getfixturevalue(f"fit_{request.param}")


@pytest.fixture(scope="session")
def uninterrupted(fit_retrieval, fit_rating):
    """Weights after uninterrupted trainings."""
    return {fit: weights(fit()) for fit in (fit_retrieval, fit_rating)}


def weights(model):
    """Return all variables of a model."""
    return [variable.numpy() for variable in model.variables]


def stop(fit, checkpoints, *, after):
    """Train for some epochs, and stop as if killed."""
    with pytest.raises(Stopped):
        fit(stage=StoppingStage(after), checkpoints=checkpoints())


def epochs_of(folder):
    """Return the epochs that have a checkpoint."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("after", [1, 5, 11])
def test_a_resumed_training_ends_with_the_same_bits(fit, checkpoints, uninterrupted, stage, after):
    """Weights, optimizer slots and the number of epochs are sufficient."""
    stop(fit, checkpoints, after=after)
    resumed = checkpoints()

    model = fit(stage=stage, checkpoints=resumed)

    assert resumed.messages == [f"train it: resuming after epoch {after}"]
    assert stage.steps == {True: 12, False: 30}[stage.notes[-1].startswith("epoch 12")]
    assert len(stage.notes) == stage.steps - after
    for found, expected in zip(weights(model), uninterrupted[fit], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_training_continues_another(fit_rating, checkpoints, stage):
    """It begins with the state of the other one, silently, and keeps it to its end."""
    own = checkpoints()
    assert not own.continues()
    first = fit_rating()
    own.begin_from(first, first.optimizer)
    assert own.continues()

    model = fit_rating(stage=stage, checkpoints=own)

    assert own.messages == []
    assert epochs_of(own.folder)[0] == "epoch-0000"
    assert len(epochs_of(own.folder)) == 3
    assert own.continues()
    assert any(
        (found != expected).any()
        for found, expected in zip(weights(model), weights(fit_rating()), strict=True)
    )
    next((own.folder / "epoch-0000").glob("state.data*")).write_bytes(b"")
    assert not own.continues()
    assert not own.folder.exists()  # later checkpoints follow from it
    assert own.messages == ["train it: epoch-0000 is truncated or corrupt; skipped"]


def test_a_start_that_does_not_fit_the_disk_is_deleted(fit_rating, checkpoints, monkeypatch):
    """The error is raised: without its start a training cannot continue another."""
    from reco_batch.models.training import checkpoints as module  # noqa: PLC0415  # TensorFlow

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    first, own = fit_rating(), checkpoints()
    monkeypatch.setattr(module, "_sums", full)

    with pytest.raises(OSError, match="No space left"):
        own.begin_from(first, first.optimizer)
    assert epochs_of(own.folder) == []


@pytest.fixture
def fit_dropout(tf, tfrs):
    """Train a small model whose dropout depends on the seed and the optimizer's steps."""
    from reco_batch.models.training.loop import fit_epochs  # noqa: PLC0415

    class Dropped(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.layer = tf.keras.layers.Dense(1, kernel_initializer="ones")
            self.layer.build((None, 8))

        def compute_loss(self, inputs, training=False):  # noqa: ARG002, FBT002
            seed = tf.stack([tf.constant(42, tf.int64), self.optimizer.iterations])
            kept = tf.random.stateless_uniform(tf.shape(inputs["of"]), seed) < 0.5
            guess = self.layer(inputs["of"] * tf.cast(kept, tf.float32))[:, 0]
            return tf.reduce_sum(inputs["weight"] * (guess - inputs["rating"]) ** 2)

    chance = np.random.default_rng(3)
    batches = {
        "of": chance.normal(size=(5, 20, 8)).astype(np.float32),
        "rating": chance.normal(size=(5, 20)).astype(np.float32),
        "weight": np.full((5, 20), 0.05, np.float32),
    }

    def fit(*, stage, checkpoints=None, learning_rate=0.1):
        model, optimizer = Dropped(), tf.keras.optimizers.Adam(learning_rate)
        fit_epochs(model, optimizer, batches, epochs=12, stage=stage, checkpoints=checkpoints)
        assert int(optimizer.iterations) == 60
        return model

    return fit


def test_random_numbers_of_a_step_are_those_of_the_same_step(fit_dropout, checkpoints, stage):
    """Checkpoints contain the number of steps, so dropout that depends on it repeats."""
    expected = weights(fit_dropout(stage=stage))
    stop(fit_dropout, checkpoints, after=5)
    resumed = checkpoints()

    found = weights(fit_dropout(stage=stage, checkpoints=resumed))

    assert resumed.messages == ["train it: resuming after epoch 5"]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_part_goes_on_from_its_own(fit_dropout, checkpoints, stage):
    """The first part is complete, the second was stopped."""
    rates = {"member-1": 0.1, "member-2": 0.2}
    expected = {
        name: weights(fit_dropout(stage=stage, learning_rate=rate)) for name, rate in rates.items()
    }
    fit_dropout(stage=stage, checkpoints=checkpoints().part("member-1"))
    with pytest.raises(Stopped):
        fit_dropout(
            stage=StoppingStage(7), checkpoints=checkpoints().part("member-2"), learning_rate=0.2
        )
    resumed = checkpoints()

    for name, rate in rates.items():
        found = fit_dropout(stage=stage, checkpoints=resumed.part(name), learning_rate=rate)
        for one, other in zip(weights(found), expected[name], strict=True):
            np.testing.assert_array_equal(one, other)

    assert resumed.messages == [
        "train it, member-1: resuming after epoch 12",
        "train it, member-2: resuming after epoch 7",
    ]


def test_a_finished_training_is_not_done_again(fit_retrieval, checkpoints, uninterrupted, stage):
    """Its last checkpoint is the trained model."""
    fit_retrieval(checkpoints=checkpoints())

    model = fit_retrieval(stage=stage, checkpoints=checkpoints())

    assert (stage.steps, stage.notes) == (12, [])
    for found, expected in zip(weights(model), uninterrupted[fit_retrieval], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_checkpoints_change_nothing(fit, checkpoints, uninterrupted):
    """Saving after every epoch does not change the result."""
    model = fit(checkpoints=checkpoints())

    for found, expected in zip(weights(model), uninterrupted[fit], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_newest_two_stay(fit_retrieval, checkpoints, tmp_path):
    """One complete checkpoint remains while the next is being written."""
    stop(fit_retrieval, checkpoints, after=6)

    assert epochs_of(tmp_path / "training") == ["epoch-0005", "epoch-0006"]


def test_the_one_before_a_damaged_one_is_loaded(fit, checkpoints, uninterrupted, tmp_path):
    """The result is the same again."""
    stop(fit, checkpoints, after=5)
    (tmp_path / "training/epoch-0005/state.index").write_bytes(b"")
    resumed = checkpoints()

    model = fit(checkpoints=resumed)

    assert resumed.messages == [
        "train it: epoch-0005 is truncated or corrupt; skipped",
        "train it: resuming after epoch 4",
    ]
    for found, expected in zip(weights(model), uninterrupted[fit], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_a_good_one_training_begins_anew(
    fit_retrieval, checkpoints, uninterrupted, tmp_path
):
    """Nothing of a damaged checkpoint is loaded."""
    stop(fit_retrieval, checkpoints, after=5)
    for folder in (tmp_path / "training").iterdir():
        (folder / "SHA256SUMS").unlink()
    resumed = checkpoints()

    model = fit_retrieval(checkpoints=resumed)

    assert resumed.messages == [
        f"train it: epoch-000{n} is truncated or corrupt; skipped" for n in (5, 4)
    ]
    for found, expected in zip(weights(model), uninterrupted[fit_retrieval], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="session")
def saved(fit_rating, tmp_path_factory, tf):
    """Complete checkpoint."""
    from reco_batch.models.training.checkpoints import Checkpoints  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("saved")
    made = Checkpoints(folder, training="it", every_seconds=0, show=print)
    with pytest.raises(Stopped):
        fit_rating(stage=StoppingStage(1), checkpoints=made)
    return folder / "epoch-0001"


FILES = "SHA256SUMS", "state.data-00000-of-00001", "state.index"


def test_a_checkpoint_is_these_files(saved):
    """Two files of TensorFlow, and digests in the format of `sha256sum --check`."""
    assert tuple(sorted(file.name for file in saved.iterdir())) == FILES


def tampered(saved, name, content):
    """Return True if the checkpoint is complete with other content of one file."""
    from reco_batch.models.training.checkpoints import is_whole  # noqa: PLC0415

    good = (saved / name).read_bytes()
    (saved / name).write_bytes(content(good))
    try:
        return is_whole(saved)
    finally:
        (saved / name).write_bytes(good)
        assert is_whole(saved)


@pytest.mark.parametrize("name", ["SHA256SUMS", "state.index"])
def test_cut_at_any_byte_or_with_any_byte_flipped_it_is_rejected(saved, name):
    """Every length and every byte of the small files."""
    size = (saved / name).stat().st_size

    for at in range(size):
        assert not tampered(saved, name, lambda good: good[:at])  # noqa: B023  # called at once
        assert not tampered(saved, name, lambda good: flipped(good, at, 1 << at % 8))  # noqa: B023


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.integers(0, 10**9), st.integers(0, 255))
def test_any_damage_is_rejected(saved, name, at, bits):
    """Cut of any file, or change of any bits of any byte."""
    at %= (saved / name).stat().st_size

    assert not tampered(saved, name, lambda good: flipped(good, at, bits) if bits else good[:at])


def flipped(content, at, bits):
    """Change some bits of one byte."""
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_rejected(saved, name):
    """Any of its files may be missing."""
    from reco_batch.models.training.checkpoints import is_whole  # noqa: PLC0415

    good = (saved / name).read_bytes()
    (saved / name).unlink()

    assert not is_whole(saved)
    (saved / name).write_bytes(good)


def test_an_empty_folder_is_rejected(tmp_path, tf):
    """An empty folder with empty digests is not a checkpoint."""
    from reco_batch.models.training.checkpoints import is_whole  # noqa: PLC0415

    (tmp_path / "SHA256SUMS").touch()

    assert not is_whole(tmp_path)


@pytest.fixture
def trained(fit_retrieval, tf):
    """Model and its optimizer."""
    model = fit_retrieval()
    return model, model.optimizer


@pytest.mark.parametrize(
    ("every_seconds", "cost", "expected"),
    [
        (0, 0, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (0, 9, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (30, 0, [3, 6, 9]),
        (30, 1, [3, 7]),  # 40 seconds after a save that took one
        (1000, 0, []),
    ],
)
def test_saving_costs_a_bounded_share(checkpoints, trained, every_seconds, cost, expected):
    """An epoch takes ten seconds, and saving one takes `cost`; none is saved before it is due."""
    now, saved = 0.0, []
    made = checkpoints(every_seconds=every_seconds, clock=lambda: now)

    def save(folder, _):
        nonlocal now
        now += cost
        saved.append(int(folder.name.removeprefix("epoch-")))

    made._save = save
    for epoch in range(1, 10):
        now += 10
        made.after_epoch(epoch, *trained)

    assert saved == expected


def test_no_room_for_a_checkpoint_is_no_reason_to_stop(
    checkpoints, fit_retrieval, uninterrupted, tmp_path, monkeypatch
):
    """A message reports it, the partial checkpoint is deleted, and training continues."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    made = checkpoints()
    monkeypatch.setattr("reco_batch.models.training.checkpoints._sums", fail)

    model = fit_retrieval(checkpoints=made)

    assert made.messages[0] == "train it: no checkpoint after epoch 1 (No space left on device)"
    assert len(made.messages) == 12
    assert list((tmp_path / "training").iterdir()) == []
    for found, expected in zip(weights(model), uninterrupted[fit_retrieval], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_disk_errors_of_tensorflow_are_os_errors(tmp_path, tf):
    """Callers need no knowledge of TensorFlow's errors."""
    from reco_batch.models.training.tensorflow_runtime import as_disk_errors  # noqa: PLC0415

    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="is not a directory") as raised, as_disk_errors():
        tf.train.Checkpoint().write(str(tmp_path / "file" / "state"))
    assert raised.value.errno is None
    full = tf.errors.ResourceExhaustedError(
        None, None, "{{node}} /a/b; No space left on device [Op:SaveV2]"
    )
    with pytest.raises(OSError, match="No space left") as raised, as_disk_errors():
        raise full
    assert (raised.value.errno, raised.value.strerror) == (
        errno.ENOSPC,
        "No space left on device",
    )
