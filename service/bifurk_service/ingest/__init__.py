"""Taking parts in: nothing is acknowledged before it is safe."""
