"""LeNet-5's squashing function."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
def scaled_tanh(x: Any) -> Any:
    """Returns 1.7159 tanh(2x / 3), which maps 1 to 1 and -1 to -1 and bends most there.

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", appendix A.
    """
    return 1.7159 * ops.tanh(2 / 3 * x)
