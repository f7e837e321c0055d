"""The width multiplier."""


def scaled_units(units: int, width: float) -> int:
    """Returns the number of filters or units at a width multiplier, at least 1.

    >>> scaled_units(64, 0.25), scaled_units(10, 0.01)
    (16, 1)
    """
    return max(1, round(units * width))


def scaled_to_eights(units: int, width: float) -> int:
    """Returns the number of filters at a width multiplier, rounded to a multiple of 8, by less than a tenth down.

    Reference:
        Howard et al. 2019, "Searching for MobileNetV3"; Tan and Le 2019, "EfficientNet": as their code rounds.

    >>> scaled_to_eights(40, 0.5), scaled_to_eights(24, 0.5), scaled_to_eights(16, 0.1)
    (24, 16, 8)
    """
    scaled = units * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded
