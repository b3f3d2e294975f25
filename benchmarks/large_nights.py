"""Sections of docs/performance.md on large data sets, extrapolated from samples."""

from collections import Counter
from collections.abc import Sequence

from beside_others import figure
from extrapolation import OF_CATALOGUE, WHOLE, by_scale

#: Upper bounds for a run on a whole data set.
WHOLE_BOUNDS = {"seconds": 3 * 3600, "peak_bytes": 12e9}

#: Largest accepted deviation of a stage from its expectation.
NEAR = 0.15

#: Stages that run side by side at every scale, and take most of a run.
TOWERS = ("refit retrieval", "train retrieval")


def scale(result: dict) -> list[str]:
    """Return the section on the cost of a large data set."""
    whole = next((n for n in result["nights"] if n["scale"] == result["target"]), None)
    lines = [
        "",
        f"## A night of {result['like']}'s size",
        "",
        "`benchmarks/scale.py`: whole runs of the preset `default` on simulated ratings. Samples",
        "are trained in as many epochs and steps as the whole, and the line through them is",
        f"extrapolated to scale {result['target']:g}. The table has the two longest stages; the",
        "time of the others depends on the concurrent stage of the other model.",
        *_brackets(result),
        *_on_machine(result),
        "",
        *_table(result, [*TOWERS, *WHOLE]),
        "",
        "What the models learned of the simulated taste:",
        "",
        "| scale | ndcg@10 | of the most rated | RMSE | of means |",
        "|---|---|---|---|---|",
    ]
    for night in result["nights"]:
        found = night["metrics"]
        figures = [found[part]["ndcg@10"] for part in ("retrieval", "popularity")]
        figures += [found[part]["rmse"] for part in ("rating", "means")]
        lines.append(f"| {night['scale']:g} | {' | '.join(map(figure, figures))} |")
    if whole:
        lines += ["", "The log of the night of the whole:", "", "```"]
        lines += [*whole["log"], "```"]
    return lines


def stages(result: dict) -> list[str]:
    """Return the section on the cost of each stage; it needs two samples or more."""
    if not result["extrapolated"]:
        return []
    counts = Counter(night["scale"] for night in result["nights"])
    names = [name for name in result["extrapolated"] if name not in WHOLE]
    rounds = ", ".join(f"{count} of scale {scale:g}" for scale, count in sorted(counts.items()))
    parts = sorted(scale for scale in counts if scale < result["target"])
    reach = (result["target"] - parts[0]) / (parts[-1] - parts[0])
    return [
        "",
        "## Each stage alone",
        "",
        "`benchmarks/scale.py --stages`: runs on the same ratings with one training at a",
        "time (`--trainings 1`), so that each stage has the machine to itself; one epoch of the",
        f"towers. Mean seconds of these runs: {rounds}.",
        "Slope and constant of each line are at least zero; stages that depend on the catalogue",
        f"only ({', '.join(OF_CATALOGUE)}) have their mean instead.",
        f"A second more of the larger sample is {reach:.0f} seconds more of the whole.",
        *_brackets(result),
        *_near(result, names),
        *_on_machine(result),
        "",
        *_table(result, [*names, "seconds", "peak_bytes"]),
    ]


def _brackets(result: dict) -> list[str]:
    """Return the legend of the table's brackets, if there are any."""
    rows = result["extrapolated"].values()
    words = {
        "between": "5 % and 95 % of predictions from resampled rounds",
        "measured_range": "minimum and maximum of the measurements",
    }
    legend = [words[key] for key in words if any(key in row for row in rows)]
    return [f"In brackets: {'; '.join(legend)}."] if legend else []


def _near(result: dict, names: Sequence[str]) -> list[str]:
    """Return the share of the whole that is near its expectation, in words."""
    rows = [row for row in map(result["extrapolated"].get, names) if "measured" in row]
    if not rows:
        return []
    deviations = [round(row.get("deviation", 1), 2) for row in rows]  # as the table shows them
    near = [row for row, off in zip(rows, deviations, strict=True) if abs(off) <= NEAR]
    more = sum(off > 0 for off in deviations)
    share = sum(row["measured"] for row in near) / sum(row["measured"] for row in rows)
    return [
        f"{len(near)} of {len(rows)} stages, which take {share:.0%} of the total time, are",
        f"within {NEAR:.0%} of the expectation; {more} of {len(rows)} took longer than expected.",
    ]


def _on_machine(result: dict) -> list[str]:
    machine = result["nights"][-1]["machine"]
    return [
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB; load",
        f"before the last run: {machine['load_before']}.",
    ]


def _table(result: dict, names: Sequence[str]) -> list[str]:
    """Return a table of the samples' times, the expectation for the whole, and its measurement."""
    figures = by_scale(result["nights"])
    target = result["target"]
    parts = {scale: figures[scale] for scale in figures if scale < target}
    head = [*(f"{scale:g}" for scale in parts), f"expected at {target:g}"]
    head += ["measured", "deviation"] if target in figures else []
    lines = [f"| | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name in names:
        row = result["extrapolated"].get(name)
        if row is None:
            continue
        cells = [_amount(name, part[name]) for part in parts.values()]
        cells.append(_amount(name, row["expected"]) + _range(name, row.get("between")))
        if "measured" in row:
            cells.append(_amount(name, row["measured"]) + _range(name, row.get("measured_range")))
            cells.append(f"{row['deviation']:+.0%}" if "deviation" in row else "-")
        lines.append(f"| {name.replace('_bytes', '')} | {' | '.join(cells)} |")
    return lines


def _range(name: str, between: Sequence[float] | None) -> str:
    return f" ({' to '.join(_amount(name, value) for value in between)})" if between else ""


def _amount(name: str, value: float) -> str:
    bound = WHOLE_BOUNDS.get(name)
    text = f"{value / 1e9:,.2f} GB" if name.endswith("_bytes") else f"{value:,.1f}"
    return f"**{text}, over the bound**" if bound and value > bound else text


SECTIONS = {"scale": scale, "stages": stages}
