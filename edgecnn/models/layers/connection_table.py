"""A convolution whose output maps each see only some of the input maps."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="edgecnn")
class ConnectionTableConv2D(keras.layers.Layer):
    """A valid convolution with a kernel only where a table connects an input map to an output map.

    The weights hold one kernel a connection and nothing else; they are laid out into the kernel of a plain convolution,
    with zeros where there is no connection. Constant folding leaves the one ONNX operator Conv.

    Args:
        table: for each output map, the indices of the input maps that it sees.
        kernel_size: height and width of each kernel, in cells.

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", layer C3 and table I.
    """

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: int, **options: Any) -> None:
        super().__init__(**options)
        self.table = tuple(tuple(inputs) for inputs in table)
        self.kernel_size = kernel_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the kernels (kernel_size, kernel_size, connections) and one bias an output map.

        Raises:
            ValueError: the table names an input map that is not there, or one twice for the same output map.
        """
        maps = input_shape[-1]
        if maps is None or any(
            len(set(seen)) != len(seen) or not set(seen) <= set(range(maps)) or not seen for seen in self.table
        ):
            raise ValueError(
                f"ConnectionTableConv2D: expected different maps of the {maps} input maps for every output map, "
                f"received the table {self.table}"
            )
        connections = [(source, target) for target, seen in enumerate(self.table) for source in seen]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, len(connections)),
            initializer=self._kernel_initializer(len(connections)),
        )
        self.bias = self.add_weight(name="bias", shape=(len(self.table),), initializer="zeros")
        place = {connection: index for index, connection in enumerate(connections)}
        nowhere = len(connections)  # the index of the zero kernel that `call` appends
        self._layout = [
            place.get((source, target), nowhere) for source in range(maps) for target in range(len(self.table))
        ]
        self._maps = maps

    def call(self, x: Any) -> Any:
        """Returns (N, height - kernel_size + 1, width - kernel_size + 1, output maps).

        Args:
            x: (N, height, width, input maps).
        """
        kernels = ops.pad(self.kernel, ((0, 0), (0, 0), (0, 1)))
        size = (self.kernel_size, self.kernel_size, self._maps, len(self.table))
        dense = ops.reshape(ops.take(kernels, self._layout, axis=-1), size)
        return ops.conv(x, dense, padding="valid") + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns (N, height - kernel_size + 1, width - kernel_size + 1, output maps)."""
        shrunk = [None if size is None else size - self.kernel_size + 1 for size in input_shape[1:-1]]
        return (input_shape[0], *shrunk, len(self.table))

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {**super().get_config(), "table": self.table, "kernel_size": self.kernel_size}

    def _kernel_initializer(self, connections: int) -> keras.Initializer:
        """LeCun's uniform limit, sqrt(3 / fan-in), with the average fan-in of an output map."""
        fan_in = self.kernel_size**2 * connections / len(self.table)
        limit = (3 / fan_in) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)
