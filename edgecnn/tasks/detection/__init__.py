"""Detection: what answers with many boxes are worth, and how that is shown."""
