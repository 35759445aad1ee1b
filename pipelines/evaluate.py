"""Evaluates a checkpoint on the pictures it was evaluated on in training, or on others."""

import sys

from service.inference.evaluation_command import evaluate

if __name__ == "__main__":
    sys.exit(evaluate(sys.argv[1:]))
