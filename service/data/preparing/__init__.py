"""Rewriting a set of pictures once, smaller and in shards, so that each epoch reads it faster."""
