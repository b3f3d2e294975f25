"""Adam with fused updates, compared with Keras's."""

import numpy as np

from reco_batch.models.training.fused_adam import FusedAdam


def test_updates_are_those_of_keras(tf):
    """A dense and a sparse gradient, over some steps; also the state for checkpoints."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(6, 4)).astype(np.float32)
    gradients = rng.normal(size=(5, 6, 4)).astype(np.float32)

    def trained(optimizer):
        dense, sparse = tf.Variable(start), tf.Variable(start)
        optimizer.build([dense, sparse])
        for step, gradient in enumerate(gradients):
            rows = tf.IndexedSlices(gradient[:2], tf.constant([step, 0]), tf.constant([6, 4]))
            optimizer.apply_gradients([(tf.constant(gradient), dense), (rows, sparse)])
        return [dense.numpy(), sparse.numpy(), *(own.numpy() for own in optimizer.variables)]

    ours, theirs = trained(FusedAdam(0.01)), trained(tf.keras.optimizers.Adam(0.01))

    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    assert np.abs(ours[0] - start).min() > 1e-3
