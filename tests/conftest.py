"""Modules that several tests share are imported by name, also in processes that tests start."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE / "training")]
