"""The one training loop and its parts: optimiser, schedule, averaging, guard and checkpoints."""
