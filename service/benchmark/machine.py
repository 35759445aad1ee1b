"""What a measurement depends on: the hardware and the versions."""

import os
import platform
import sys
from pathlib import Path

import psutil

from service.config.versions import versions

_PACKAGES = ("torch", "torchvision", "torchcodec", "numpy", "pycocotools")


def hardware() -> dict[str, str | int]:
    """Returns processor, cores, memory and accelerator."""
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
    }
    import torch  # a table of records needs none of it

    if torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def measured_versions() -> dict[str, str]:
    """Returns the versions of Python and of what is measured or measures."""
    return versions(_PACKAGES)


def command() -> str:
    """Returns the command line of this process, without the folder it was started in."""
    program = Path(sys.argv[0])
    return " ".join(["python", "/".join(program.parts[-2:]), *sys.argv[1:]])


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
