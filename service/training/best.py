"""What the best value so far of a metric is called."""


def best_name(metric: str) -> str:
    """Returns what the best value so far of a metric is called: val/top1 → val/best_top1."""
    split, _, name = metric.rpartition("/")
    return f"{split}/best_{name}"
