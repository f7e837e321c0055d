"""Localization: outputs, losses, the metric, and the source's own answer."""
