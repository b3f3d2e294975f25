"""Adam whose update of a large table is one operation.

Keras composes the update of several operations, each of which reads and writes whole tables. Tables
that exceed the caches are updated three times as fast by one operation. Its rounding differs in the
last bits.
"""

from reco_batch.models.training.tensorflow_runtime import tf


class FusedAdam(tf.keras.optimizers.Adam):
    """Adam with the variables and the formula of Keras's."""

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Update one variable; one with a sparse gradient as Keras does.

        Args:
            gradient: of the variable.
            variable: a variable that the optimizer was built for.
        """
        if isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        first, second = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].handle,
            v=self._velocities[place].handle,
            beta1_power=tf.pow(first, step),
            beta2_power=tf.pow(second, step),
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=first,
            beta2=second,
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient,
        )
