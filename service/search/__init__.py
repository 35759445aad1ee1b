"""Searches over the configuration, without Ray: spaces, proposals, trials, what they show."""
