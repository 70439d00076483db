"""Which machine and which versions the figures belong to."""

import datetime
import importlib.metadata
import os
import platform
import sys
from typing import Any

PACKAGES = ("tinygrad_cnn", "numpy", "scipy", "numba", "torch", "jax", "jaxlib", "mygrad", "tinygrad", "threadpoolctl")


def describe() -> dict[str, Any]:
    """Everything that a later reader needs to compare; ``load`` is what else the machine was doing at the start."""
    return {
        "cpu": cpu_model(),
        "cpus": available_cpus(),
        "memory_gib": memory_gib(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": installed_versions(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def memory_gib() -> float | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    return None


def installed_versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
