"""Classification: losses, the metric, what stands near chance, pictures, and the source's own answer."""
