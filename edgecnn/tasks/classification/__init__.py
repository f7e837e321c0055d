"""Classification: outputs and how they are taught, the metric, chance, pictures, and the source's own answer."""
