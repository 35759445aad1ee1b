"""Sweeps: Ray Tune over Ray Train."""
