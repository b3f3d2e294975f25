"""The weights of the notebook's rating network, as scoring wants them; needs no TensorFlow.

Shapes: U users, I movies; H, G hidden widths.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RatingWeights(NamedTuple):
    """The trained network with its first layer split into a user's and a movie's share.

    stars = relu(relu(users[u] + movies[i]) @ hidden + hidden_bias) @ output + output_bias
    """

    users: NDArray[np.float32]  # [U, H]
    movies: NDArray[np.float32]  # [I, H], the first bias included
    hidden: NDArray[np.float32]  # [H, G]
    hidden_bias: NDArray[np.float32]  # [G]
    output: NDArray[np.float32]  # [G]
    output_bias: np.float32
