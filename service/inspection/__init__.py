"""Runs as their folders and MLflow tell of them: listed, described, compared, verified, cleaned."""
