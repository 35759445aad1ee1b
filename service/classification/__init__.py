"""The classification task: loss, mixing, exact top-k."""
