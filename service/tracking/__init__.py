"""Runs in MLflow: metrics go to a journal first and are delivered from there."""
