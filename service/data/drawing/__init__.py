"""A built-in set of pictures to learn from: drawn shapes, without any download."""
