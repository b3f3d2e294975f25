"""Sections of docs/performance.md on runs of several sizes."""

from comparison_tables import figure
from speed_sections import table

#: Time and memory that a run of ml-32m's size may take on two cores.
BOUNDS = {"seconds": 32 * 60, "peak_bytes": 7e9}


def scale(result: dict) -> list[str]:
    """Return the sections on the cost of runs, and on the multiples of the least time."""
    runs = result["runs"]
    return [
        "",
        "## Runs of several sizes",
        "",
        "`benchmarks/scale.py`: whole runs of the preset `default`, with the choice for the",
        "catalogue and the refit, on simulated ratings (`batch simulate`). After each run one user",
        "in a hundred has five new ratings, and `batch refresh` publishes them.",
        *_machines(runs),
        "",
        *_totals(runs),
        "",
        "These runs are of a version whose choice tried fewer penalties. Of today's version, a run",
        "with 32 million ratings took 13.5 GB on a busy machine, much of it in the choice, which",
        "keeps the weights of six pairs of penalties.",
        "",
        "Quality on the simulated ratings:",
        "",
        *_quality(runs),
        "",
        "## What takes the time",
        "",
        "Seconds of each stage of these runs, and in parentheses the multiple of the seconds that",
        "the machine needs for the work of the stage alone: the multiplications of its matrix",
        "products, the additions of its sparse sums, the bytes that it reads and writes, the rows",
        "that it parses or the keys that it inserts, computed from the sizes of the data",
        "(`benchmarks/work.py`) and divided by what one thread does in a second:",
        "",
        *_limits(runs),
        "",
        "All cores share the sums and the scoring of lists; the gradients of a training are",
        "computed by one. Two trainings run at the same time and share the memory bandwidth. A",
        "choice tries dozens of values; its work contains only one training of the encoder, and",
        "one pass over the pairs of rated movies for each of two kinds of weights, so its multiple",
        "is high. Loops of Python, and choices among candidates, are part of no stage's work.",
        "",
        *_stages(runs),
    ]


def _name(run: dict) -> str:
    return f"{run['ratings']:,} ratings"


def _machines(runs: list[dict]) -> list[str]:
    machine = runs[-1]["machine"]
    loads = ", ".join(f"{run['machine']['load_before']:.1f}" for run in runs)
    return [
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB; load by",
        f"other work before each run: {loads}.",
    ]


def _totals(runs: list[dict]) -> list[str]:
    amounts = {
        "users": lambda run: f"{run['users']:,}",
        "movies": lambda run: f"{run['movies']:,}",
        "run: seconds": lambda run: _bounded(run, "seconds", f"{run['seconds']:,.0f}"),
        "run: seconds of processors": lambda run: f"{run['processor_seconds']:,.0f}",
        "run: peak memory": lambda run: _bounded(run, "peak_bytes", _gigabytes(run["peak_bytes"])),
        "refresh: seconds": lambda run: f"{run['refresh']['seconds']:,.0f}",
        "refresh: seconds of processors": lambda run: f"{run['refresh']['processor_seconds']:,.0f}",
        "refresh: peak memory": lambda run: _gigabytes(run["refresh"]["peak_bytes"]),
        "artifact": lambda run: _gigabytes(run["artifact_bytes"]),
        "store": lambda run: _gigabytes(run["store_bytes"]),
    }
    rows = [[name, *(text(run) for run in runs)] for name, text in amounts.items()]
    return table(["", *map(_name, runs)], rows)


def _bounded(run: dict, name: str, text: str) -> str:
    return f"**{text}, over the bound**" if run[name] > BOUNDS[name] else text


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def _quality(runs: list[dict]) -> list[str]:
    shown = (
        ("retrieval", "ndcg@10"),
        ("popularity", "ndcg@10"),
        ("rating", "rmse"),
        ("means", "rmse"),
    )
    head = ["", "ndcg@10", "most rated", "RMSE", "user and item means"]
    rows = [[_name(run), *(figure(run["metrics"][a][b]) for a, b in shown)] for run in runs]
    return table(head, rows)


def _limits(runs: list[dict]) -> list[str]:
    units = {
        "multiply": ("multiplications and additions of a matrix product", 1e9, "billion"),
        "add": ("additions to a sparse sum", 1e9, "billion"),
        "copy": ("bytes copied in memory, read and written", 1e9, "billion"),
        "store": ("bytes written to a file and synchronised", 1e9, "billion"),
        "parse": ("rows of CSV parsed by pandas", 1e6, "million"),
        "insert": ("keys of 1 kB inserted by raw RESP", 1e6, "million"),
    }
    rows = [
        [name, *(f"{run['limits'][kind] / unit:,.2f} {word}" for run in runs)]
        for kind, (name, unit, word) in units.items()
    ]
    return table(["in a second, before the run of", *map(_name, runs)], rows)


def _stages(runs: list[dict]) -> list[str]:
    rows = []
    for stage in runs[-1]["stages"]:
        cells = []
        for run in runs:
            seconds, least = run["stages"].get(stage), run["least"].get(stage)
            text = "" if seconds is None else f"{seconds:,.1f}"
            cells.append(f"{text} ({seconds / least:,.1f})" if text and least else text)
        rows.append([stage, *cells])
    return table(["", *map(_name, runs)], rows)


SECTIONS = {"scale": scale}
