"""Distributions of values: made of counts or of values, drawn, sampled, compared."""
