"""Checkpoints on a disk, read as snapshots."""
