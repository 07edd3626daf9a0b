"""How far a tensor's elements moved."""
