"""Using what was trained: evaluating a checkpoint, and predicting on pictures."""
