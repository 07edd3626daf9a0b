"""Detectors: streams of statistics in, detections and alerts out; pure, no I/O."""
