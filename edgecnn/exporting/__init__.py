"""Export: what is asked for, what is read, the way to the exporters, and the picture of the tries."""
