"""The machine: what a reader needs to know of it to judge a figure."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["describe"]


def describe() -> str:
    """``AMD EPYC 7763, 2 cores, x86_64, Linux``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ", ".join(word for word in (_processor(), f"{cores} cores", platform.machine(), platform.system()) if word)


def _processor() -> str:
    with suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return re.sub(r"\s+", " ", found[1]).strip()
    return platform.processor() if platform.processor() != platform.machine() else ""
