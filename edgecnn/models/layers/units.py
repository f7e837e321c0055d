"""The width multiplier."""


def scaled_units(units: int, width: float) -> int:
    """Returns the number of filters or units at a width multiplier, at least 1.

    >>> scaled_units(64, 0.25), scaled_units(10, 0.01)
    (16, 1)
    """
    return max(1, round(units * width))
