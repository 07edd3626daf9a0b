"""Statistics across the layers of a model."""
