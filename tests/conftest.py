"""Modules that several tests share are imported by name, also in processes that tests start."""

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE / "training")]

# Tests run in several processes, which would be in each other's way with more threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Some tests import Ray, which reads this then; others start a cluster in this process later.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

# Without this Hypothesis writes a cache beside the tests, whatever its database is.
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp(prefix="hypothesis-")
atexit.register(shutil.rmtree, os.environ["HYPOTHESIS_STORAGE_DIRECTORY"], ignore_errors=True)
