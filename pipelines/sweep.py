"""Searches values of a recipe with Ray Tune."""

import sys
from pathlib import Path

from service.cluster.sweeps.pipeline import run_sweep_pipeline

_DEFAULT = Path(__file__).resolve().parents[1] / "configs" / "sweep" / "p_l.yaml"

if __name__ == "__main__":
    sys.exit(run_sweep_pipeline(_DEFAULT, sys.argv[1:]))
