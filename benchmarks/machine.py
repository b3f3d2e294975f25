"""What a figure is worth nothing without: the machine and the versions it was measured on."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("numpy", "redis", "tensorflow", "tensorflow-recommenders")
#: Settings that slow NumPy's matrix products; a benchmark measures without them.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def describe(more: tuple[str, ...] = ()) -> dict[str, object]:
    """Return processor, memory and versions, of some packages more if wanted."""
    info = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in info if "model name" in line), "unknown")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in (*PACKAGES, *more)},
    }


def begin_anew_without_slowing() -> None:
    """Start this script again without the settings that slow it, if there are any."""
    if any(name in os.environ for name in SLOWING):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())  # noqa: S606


def environment() -> dict[str, str]:
    """Return the environment for a measured process."""
    return {name: value for name, value in os.environ.items() if name not in SLOWING}
