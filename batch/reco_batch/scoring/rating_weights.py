"""Weights of the notebook's rating network in the form that scoring needs, without TensorFlow.

Shapes: U users, I movies; H, G hidden widths.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RatingWeights(NamedTuple):
    """Trained rating network whose first layer is split into a user and a movie part.

    rating = relu(relu(users[u] + movies[i]) @ hidden + hidden_bias) @ output + output_bias
    """

    users: NDArray[np.float32]  # [U, H]
    movies: NDArray[np.float32]  # [I, H], the first bias included
    hidden: NDArray[np.float32]  # [H, G]
    hidden_bias: NDArray[np.float32]  # [G]
    output: NDArray[np.float32]  # [G]
    output_bias: np.float32
