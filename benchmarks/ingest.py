"""Reading, checking and splitting ratings, compared with pandas reading the same file.

Each measurement is a process, and the two sides alternate; the system counts peak memory and CPU
seconds of all threads. pandas only reads the ratings: no check, no movies, no split.

usage: ingest.py FOLDER... [--rounds N] [--database ADDRESS]

FOLDER     written by `batch simulate`
--database a PostgreSQL whose table `ratings` is that of the last folder; its movies are read too
"""

import argparse
import json
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from machine import describe, environment

HERE = Path(__file__).parent
BEGIN = "import json, resource, sys, time; began = time.perf_counter(); seconds = {}\n"
END = """
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "rows": rows, "seconds": seconds, "peak_bytes": used.ru_maxrss * 1024,
    "processor_seconds": used.ru_utime + used.ru_stime,
}))
"""
STAGE = 'seconds["{}"] = time.perf_counter() - began; began = time.perf_counter()\n'
OURS = "".join(
    [
        BEGIN,
        "from pathlib import Path\n",
        "import scipy.sparse, sklearn.utils.extmath\n",  # the split imports them late
        "from reco_batch.ingest.sources import load\n",
        "from reco_batch.data.split import SplitBy, split_ratings\n",
        "from reco_batch.ingest.validate import build_dataset\n",
        "from reco_batch.settings.input_keys import InputKeys\n",
        STAGE.format("import"),
        "tables = {'ratings': sys.argv[2], 'ratings_query': 'ratings'} if sys.argv[2:] else {}\n",
        "movies = str(next(Path(sys.argv[1]).glob('movies.*')))\n",
        "places = InputKeys(**tables, items=movies) if tables else InputKeys()\n",
        "source = load(None if tables else sys.argv[1], cache=Path(), places=places)\n",
        STAGE.format("read"),
        "data = build_dataset(source.tables, rating_scale=(0.5, 5), source=source.origin)\n",
        "del source; rows = len(data.ratings)\n",
        STAGE.format("check"),
        "split_ratings(data.ratings, by=SplitBy.RANDOM, seed=42)\n",
        STAGE.format("split"),
        END,
    ]
)
PEER = "".join(
    [
        BEGIN,
        "from pathlib import Path\n",
        "import pandas\n",
        STAGE.format("import"),
        "path = Path(sys.argv[1]) / 'ratings.csv'\n",
        "parquet = path.with_suffix('.parquet')\n",
        "if sys.argv[2:]:\n",
        "    from adbc_driver_postgresql import dbapi\n",
        "    with dbapi.connect(sys.argv[2]) as database:\n",
        "        frame = pandas.read_sql('SELECT * FROM ratings', database)\n",
        "else:\n",
        "    frame = pandas.read_csv(path) if path.exists() else pandas.read_parquet(parquet)\n",
        "rows = len(frame)\n",
        STAGE.format("read"),
        END,
    ]
)


def measured(program: str, folder: Path, database: str | None) -> dict[str, object]:
    """Run one side on a folder, or on a database."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), *([database] if database else [])],
        env=environment(),
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def compared(folder: Path, rounds: int, database: str | None = None) -> dict[str, object]:
    """Run both sides in turn; return the medians of each."""
    runs: dict[str, list[dict]] = {"ours": [], "peer": []}
    for _ in range(rounds):
        for name, program in (("peer", PEER), ("ours", OURS)):
            runs[name].append(measured(program, folder, database))
    result: dict[str, object] = {"folder": folder.name, "rounds": rounds}
    for name, found in runs.items():
        stages = {
            stage: statistics.median(run["seconds"][stage] for run in found)
            for stage in found[0]["seconds"]
        }
        total = statistics.median(
            sum(s for stage, s in run["seconds"].items() if stage != "import") for run in found
        )
        result[name] = {
            "rows": found[0]["rows"],
            "seconds": total,
            "rows_a_second": found[0]["rows"] / total,
            "stages": stages,
            "processor_seconds": statistics.median(run["processor_seconds"] for run in found),
            "peak_bytes": max(run["peak_bytes"] for run in found),
        }
    if database:
        return result | {"file": "PostgreSQL", "file_bytes": None}
    files = [p for p in folder.iterdir() if p.name.startswith("ratings.")]
    return result | {"file": files[0].name.partition(".")[2], "file_bytes": files[0].stat().st_size}


def main() -> None:
    """Measure, print a table, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--database")
    arguments = parser.parse_args()
    machine = describe() | {name: version(name) for name in ("pandas", "pyarrow")}
    print(f"{'':24}{'rows':>12}{'seconds':>9}{'rows/s':>12}{'CPU s':>8}{'peak MB':>9}")
    folders = []
    places = [(folder, None) for folder in arguments.folders]
    if arguments.database:
        places.append((arguments.folders[-1], arguments.database))
    for folder, database in places:
        result = compared(folder, arguments.rounds, database)
        folders.append(result)
        for name, label in (("ours", "reco, checked and split"), ("peer", "pandas, read only")):
            side = result[name]
            print(
                f"{label:24}{side['rows']:12,}{side['seconds']:9.1f}{side['rows_a_second']:12,.0f}"
                f"{side['processor_seconds']:8.1f}{side['peak_bytes'] / 1e6:9,.0f}  {folder.name}"
            )
    result = {"figure": "ingest", "machine": machine, "folders": folders}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "ingest.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
