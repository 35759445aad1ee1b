"""Writes a trained network for other programs: safetensors, torch.export, ONNX, an MLflow model."""

import sys

from service.export.command import export

if __name__ == "__main__":
    sys.exit(export(sys.argv[1:]))
