"""The whole job and the notebook, side by side: seconds, ratio, and metrics of both.

The notebook computes all users, 1,000 movies and 50 ranked lists and publishes nothing; the job
computes all lists and publishes them to an embedded store of its own, which it stops again.

usage: whole_job.py [--data DIR|demo] [--rounds N] [--refit]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe, environment

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


def as_folder(data: str, scratch: Path) -> Path:
    """Return a folder of CSV files, which is all that the notebook reads."""
    if data != "demo":
        return Path(data)
    from reco_batch.ingest.sources import load  # noqa: PLC0415  heavy

    tables = load(data, cache=scratch).tables
    tables.ratings.to_csv(scratch / "ratings.csv", index=False)
    tables.movies.to_csv(scratch / "movies.csv", index=False)
    return scratch


def timed(command: list[str]) -> tuple[float, str]:
    """Run a process to its end; return its wall seconds and standard output."""
    started = time.perf_counter()
    done = subprocess.run(
        command, env=environment(), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - started, done.stdout.decode()


def run_notebook(data: Path, scratch: Path) -> dict[str, object]:
    """Run the baseline."""
    seconds, printed = timed([sys.executable, str(HERE / "notebook.py"), str(data), str(scratch)])
    return {"total": seconds, **json.loads(printed)}


def run_job(data: Path, scratch: Path, options: list[str]) -> dict[str, object]:
    """Run the job in a home of its own."""
    home = ["--home", str(scratch / "home")]
    command = [str(BIN / "batch"), "run", "--data", str(data), "--preset", "notebook"]
    try:
        seconds, _ = timed([*command, *options, *home])
    finally:
        subprocess.run([str(BIN / "batch"), "store", "stop", *home], check=True)
    manifest = max((scratch / "home" / "artifacts").glob("*/manifest.json"))
    night = json.loads(manifest.read_text("utf-8"))
    return {"total": seconds, "seconds": night["seconds"], "metrics": night["metrics"]}


def main() -> None:
    """Measure, print a table, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--refit", action="store_true", help="train twice, as the default does")
    arguments = parser.parse_args()
    options = ["--refit" if arguments.refit else "--no-refit"]
    machine = describe()
    notebook, job = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = as_folder(arguments.data, Path(folder))
        for number in range(arguments.rounds):
            scratch = Path(folder) / str(number)
            notebook.append(run_notebook(data, scratch / "notebook"))
            job.append(run_job(data, scratch, options))
    ratios = [a["total"] / b["total"] for a, b in zip(notebook, job, strict=True)]
    result = {
        "figure": "whole_job",
        "data": Path(arguments.data).name,
        "options": options,
        "machine": machine,
        "ratio": statistics.median(ratios),
        "notebook": notebook,
        "job": job,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "whole_job.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"whole process, {result['data']}, {machine['cores']} cores, {' '.join(options)}")
    print(f"{'':10}{'seconds':>9}{'top-1':>9}{'top-5':>9}{'top-10':>9}{'RMSE':>9}")
    for name, runs in (("notebook", notebook), ("batch run", job)):
        for run in runs:
            accuracy = [f"{v:9.4f}" for v in run["metrics"]["retrieval"].values()]
            print(
                f"{name:10}{run['total']:9.1f}{''.join(accuracy)}"
                f"{run['metrics']['rating']['rmse']:9.4f}"
            )
    print(f"batch run is {result['ratio']:.1f} times faster")


if __name__ == "__main__":
    main()
