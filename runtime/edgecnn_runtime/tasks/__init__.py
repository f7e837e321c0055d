"""What a model can be for: a task a file, and what tasks share."""
