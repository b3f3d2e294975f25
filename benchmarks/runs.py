"""Runs of the job in a process of their own, with their time and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from machine import environment
from prometheus_client.parser import text_string_to_metric_families

BIN = Path(sys.executable).parent
#: Metric of a finished stage's seconds in the metrics file.
STAGE_SECONDS = "reco_run_stage_duration_seconds"


#: Bytes that a run of 100,000 ratings takes, which are touched before a measurement if half of the
#: free memory is as large.
MOST_TOUCHED = 3e9


def touch_memory() -> None:
    """Make the memory that a measured process will use resident, in a process that ends at once.

    The host of a virtual machine takes freed pages back after seconds. Touching them again then
    takes 2.5 seconds per GB, which would be counted as part of the run.
    """
    size = int(min(MOST_TOUCHED, psutil.virtual_memory().available / 2))
    subprocess.run([sys.executable, "-c", f"b'1' * {size}"], check=True)


def measured(command: Sequence[str], log: Path) -> dict[str, object]:
    """Run; return wall seconds, CPU seconds, peak memory and stages.

    Raises:
        RuntimeError: it failed, or could not write its metrics file; the message ends with its
            output.
    """
    metrics = log.with_name("reco.prom")
    command = [*command, "--metrics-file", str(metrics)]
    touch_memory()
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, env=environment(), cwd=log.parent, stdout=subprocess.DEVNULL, stderr=stream
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text("utf-8").replace(f"{log.parent}/", "").splitlines()
    if process.returncode or not metrics.exists():
        file = "" if metrics.exists() else f" without writing {metrics}"
        ended = f"ended with {process.returncode}{file}"
        raise RuntimeError(f"{' '.join(command)} {ended}: {lines[-5:]}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_bytes": usage.ru_maxrss * 1024,
        "stages": stages_of(metrics.read_text("utf-8")),
        "log": lines,
    }


def stages_of(metrics: str) -> dict[str, float]:
    """Return the seconds of each finished stage, to the millisecond."""
    families = text_string_to_metric_families(metrics)
    (stages,) = (family for family in families if family.name == STAGE_SECONDS)
    return {sample.labels["stage"]: sample.value for sample in stages.samples}
