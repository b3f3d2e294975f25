"""The tables of docs/models.md that compare our models with others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODELS = HERE.parent / "docs" / "models.md"
BEGIN, END = "<!-- quality: written by benchmarks/report.py -->", "<!-- end of quality -->"
SPLITS = {
    "random": "at random",
    "time": "each user's latest fifth",
    "peers": "at random, a second draw with users in numerical order",
}
NOTES = {
    "demo": [
        "Another sample of the same site's ratings. No choice about the models was made on it.",
        "",
    ]
}
OURS = "preset default"


def quality(result: dict) -> list[str]:
    """Return the table of ranking and rating quality on one data set."""
    lines = []
    for split, held_out in SPLITS.items():
        if split in result["splits"]:
            lines += [
                "",
                f"### {result['data']}, held out {held_out}",
                "",
                *NOTES.get(result["data"], []),
            ]
            lines += _lists(result["splits"][split]["lists"])
            lines += ["", *_stars(result["splits"][split]["stars"])]
    return lines


def _lists(lists: dict) -> list[str]:
    keys = ("ndcg@10", "recall@100", "map@10", "hit@10", "coverage@10", "popularity@10")
    lines = ["| | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for name, row in lists["table"].items():
        figures = " | ".join(figure(row[key]) for key in keys)
        lines.append(f"| {_bold(name)}{_settings(row)} | {figures} |")
    lines += ["", f"Difference of the {OURS} to the other, by user, with 95 % intervals:", ""]
    lines += ["| | ndcg@10 | recall@100 |", "|---|---|---|"]
    for name, row in lists[f"{OURS} less"].items():
        cells = [
            f"{found['mean']:+.4f} [{found['interval'][0]:+.4f}, {found['interval'][1]:+.4f}]"
            for found in row.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _stars(stars: dict) -> list[str]:
    bands = list(stars["table"][OURS]["rmse_by_ratings"])
    head = ["RMSE", "MAE", *(f"RMSE, {band} ratings" for band in bands)]
    head += ["ranked lists: ndcg@10", "at most two ratings"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, row in stars["table"].items():
        figures = [row["rmse"], row["mae"], *(row["rmse_by_ratings"][band] for band in bands)]
        figures += [row["ranked_ndcg@10"], row["ranked_little_known@10"]]
        cells = " | ".join(map(figure, figures))
        lines.append(f"| {_bold(name)}{_settings(row)} | {cells} |")
    return lines


def new_users(result: dict) -> list[str]:
    """Return the table of users excluded from training, for one data set."""
    lines = [
        "",
        f"### {result['data']}, new users",
        "",
        f"Written by `benchmarks/new_users.py`: each of {result['users']} users was excluded from",
        f"one of {result['folds']} trainings. Their histories consist of a few ratings, drawn at",
        "random or the first by time. Settings were chosen on the validation part, for EASE as for",
        "our preset. Their other rated movies are not recommended, which helps all models equally.",
        "Coverage is a mean over fifths of the users, and lower than that of all users.",
        "",
        "| | validation ndcg@10 | ndcg@10 | recall@100 | coverage@10 |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["test"].items():
        before = figure(result["validation"][name]["ndcg@10"])
        cells = [figure(row[key]) for key in ("ndcg@10", "recall@100", "coverage@10")]
        lines.append(f"| {_bold(name)} | {before} | {' | '.join(cells)} |")
    return lines


def similar(result: dict) -> list[str]:
    """Return the table of similar lists, for one data set."""
    keys = list(next(iter(result["table"].values())))
    lines = [
        "",
        f"### {result['data']}, similar movies",
        "",
        "Written by `benchmarks/similar.py`: how well the top-10 of a movie's similar list",
        "predicts what the users who liked the movie liked next.",
        "",
        "| | " + " | ".join(keys) + " |",
        "|---" * (len(keys) + 1) + "|",
    ]
    for name, row in result["table"].items():
        lines.append(f"| {_bold(name)} | {' | '.join(figure(row[key]) for key in keys)} |")
    return lines


def for_ratings(result: dict) -> list[str]:
    """Return the table of cold-start lists, for one data set."""
    users = result["users"]
    lines = [
        "",
        f"### {result['data']}, cold start",
        "",
        f"Written by `benchmarks/for_ratings.py`: {users['measured']} users, each excluded from a",
        "training, with a history of five ratings: drawn at random, or the five with the most",
        f"stars. The settings were chosen on {users['choosing']} other users. recall@10 is the",
        "share of a user's other rated movies in the top-10; in parentheses, counting at most ten",
        "of them. *The model* is the retrieval model itself, which would have to run at query",
        "time. ",
        "| five ratings | | recall@10 | relative to most rated | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for how, table in result["measured"].items():
        for name, row in table.items():
            figures = _with_ten(row, figure)
            ratios = row.get("to most rated", {})
            times = _with_ten(ratios, lambda found: f"{found['ratio']:.2f}") if ratios else ""
            interval = _with_ten(ratios, _interval) if ratios else ""
            lines.append(f"| {how} | {_bold(name)} | {figures} | {times} | {interval} |")
    return lines


def _with_ten(row: dict, written: Callable[[Any], str]) -> str:
    """Write recall over all other rated movies, and over at most ten of them."""
    return f"{written(row['recall@10'])} ({written(row['recall@10 of at most 10'])})"


def _interval(found: dict) -> str:
    low, high = found["interval"]
    return f"{low:.2f} to {high:.2f}"


def _bold(name: str) -> str:
    return f"**{name}**" if name.startswith(OURS) else name


def _settings(row: dict) -> str:
    settings = row.get("settings")
    if isinstance(settings, dict):
        words = [f"{name} {value:g}" for name, value in settings.items()]
    else:
        names = ("factors", "l2", "alpha")
        words = [f"{name} {value:g}" for name, value in zip(names, settings or (), strict=False)]
    if row.get("chosen"):
        words.append("chosen")
    return f" ({', '.join(words)})" if words else ""


def figure(value: float) -> str:
    """Format a number with four decimals and no leading zero."""
    return f"{value:.4f}".removeprefix("0") if value < 1 else f"{value:.4f}"


def write_tables() -> None:
    """Write the tables between their markers in docs/models.md."""
    results = [
        json.loads(path.read_text("utf-8"))
        for path in sorted((HERE / "results").glob("quality-*.json"), reverse=True)
    ]
    if not results:
        return
    machine = results[0]["machine"]
    lines = [
        BEGIN,
        "## Comparison with other models",
        "",
        "Written by `benchmarks/quality.py`, which documents the protocol: every model is fitted",
        "on the training and validation parts, settings of the others are the best of several on",
        "the validation part, and the test part is used once. The presets and ALS are means of",
        f"{results[0]['seeds']} random seeds. {machine['cores']} cores of {machine['processor']}.",
    ]
    for result in results:
        lines += quality(result)
    for name, section in (
        ("new_users", new_users),
        ("similar", similar),
        ("for_ratings", for_ratings),
    ):
        for path in sorted((HERE / "results").glob(f"{name}-*.json"), reverse=True):
            lines += section(json.loads(path.read_text("utf-8")))
    before, _, rest = MODELS.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    MODELS.write_text(before + "\n".join([*lines, END]) + after, "utf-8")
    print(f"wrote {MODELS.relative_to(HERE.parent)}")
