"""What the running process holds in memory, and the most it ever held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """Bytes resident now; where only the peak is known, the peak so far."""
    return _status("VmRSS") or peak_bytes()


def peak_bytes() -> int:
    """Most bytes ever resident in this process. Linux keeps the parent's in ru_maxrss, so its status is asked first."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or (most if sys.platform == "darwin" else most * 1024)


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
