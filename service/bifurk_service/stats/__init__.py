"""Statistics of one tensor: pure numerics, float64, no I/O."""
