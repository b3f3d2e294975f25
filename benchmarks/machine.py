"""Machine and package versions, which every result of a benchmark records."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from reco_batch.data.fingerprint import versions

COMPUTING = ("numpy", "tensorflow", "tensorflow-recommenders")
#: Environment variables that slow NumPy's matrix products. Benchmarks run without them.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def describe(more: tuple[str, ...] = ()) -> dict[str, object]:
    """Return processor, cores, memory in GB, load and versions.

    Args:
        more: distributions whose version is recorded as well.
    """
    info = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in info if "model name" in line), "unknown")
    computing = versions()
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: computing[name] for name in COMPUTING},
        **{name: version(name) for name in ("redis", *more)},
    }


def begin_anew_without_slowing() -> None:
    """Restart this script without the variables in `SLOWING`, if any is set."""
    if any(name in os.environ for name in SLOWING):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())  # noqa: S606


def environment() -> dict[str, str]:
    """Return the environment of a measured process, without the variables in `SLOWING`."""
    return {name: value for name, value in os.environ.items() if name not in SLOWING}
