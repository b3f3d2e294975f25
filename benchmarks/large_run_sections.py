"""Sections of docs/performance.md on large data sets, extrapolated from parts of them."""

from collections import Counter
from collections.abc import Sequence

from comparison_tables import figure
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
        f"## A run of {result['like']}'s size",
        "",
        "`benchmarks/scale.py`: complete runs of the preset `default` on simulated ratings. Each",
        "part is trained in as many epochs and steps as the whole, and the line through the parts",
        f"is extrapolated to scale {result['target']:g}. The table contains the two longest",
        "stages; the duration of the others depends on the concurrent stage of the other model.",
        *_brackets(result),
        *_on_machine(result),
        "",
        *_table(result, [*TOWERS, *WHOLE]),
        "",
        "Quality on the simulated ratings:",
        "",
        "| scale | ndcg@10 | most rated | RMSE | user and item means |",
        "|---|---|---|---|---|",
    ]
    for night in result["nights"]:
        found = night["metrics"]
        figures = [found[part]["ndcg@10"] for part in ("retrieval", "popularity")]
        figures += [found[part]["rmse"] for part in ("rating", "means")]
        lines.append(f"| {night['scale']:g} | {' | '.join(map(figure, figures))} |")
    if whole:
        lines += ["", "The log of the run at full scale:", "", "```"]
        lines += [*whole["log"], "```"]
    return lines


def stages(result: dict) -> list[str]:
    """Return the section on the cost of each stage; one part alone cannot be extrapolated."""
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
        "`benchmarks/scale.py --stages`: runs on the same ratings with one training at a time",
        "(`--trainings 1`), so that each stage has the machine to itself, and one epoch of the",
        f"towers at every scale. Seconds are means over the runs: {rounds}.",
        "The line through the parts never decreases and starts at zero or above. For stages that",
        f"depend only on the catalogue ({', '.join(OF_CATALOGUE)}) it is the mean.",
        f"One more second for the larger part means {reach:.0f} more seconds for the whole.",
        *_brackets(result),
        *_near(result, names),
        *_on_machine(result),
        "",
        *_table(result, [*names, "seconds", "peak_bytes"]),
    ]


def _brackets(result: dict) -> list[str]:
    """Return the explanation of the parentheses in the table, if there are any."""
    rows = result["extrapolated"].values()
    words = {
        "between": "the 5 % and 95 % quantiles of the bootstrapped extrapolation",
        "measured_range": "the smallest and the largest measurement",
    }
    legend = [words[key] for key in words if any(key in row for row in rows)]
    return [f"In parentheses: {'; '.join(legend)}."] if legend else []


def _near(result: dict, names: Sequence[str]) -> list[str]:
    """Return how many stages the extrapolation predicts well."""
    rows = [row for row in map(result["extrapolated"].get, names) if "measured" in row]
    if not rows:
        return []
    deviations = [round(row.get("deviation", 1), 2) for row in rows]  # as the table shows them
    near = [row for row, off in zip(rows, deviations, strict=True) if abs(off) <= NEAR]
    more = sum(off > 0 for off in deviations)
    share = sum(row["measured"] for row in near) / sum(row["measured"] for row in rows)
    return [
        f"{len(near)} of {len(rows)} stages, with {share:.0%} of the total time, are within",
        f"{NEAR:.0%} of the expected duration; {more} of {len(rows)} took longer than expected.",
    ]


def _on_machine(result: dict) -> list[str]:
    machine = result["nights"][-1]["machine"]
    return [
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB; load by",
        f"other work before the last run: {machine['load_before']}.",
    ]


def _table(result: dict, names: Sequence[str]) -> list[str]:
    """Return a table of measurements of the parts, and of the whole as expected and measured."""
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
