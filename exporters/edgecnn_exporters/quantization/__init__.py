"""Files of fewer bits: calibrated, made, judged, and made again until one keeps its budgets."""
