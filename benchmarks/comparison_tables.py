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
    "global": "what follows a date",
}
EARLIER = ["Measured with an earlier version of the choice.", ""]
NOTES = {
    "demo, time": [
        "Another sample of the same site's ratings. The measure of the choice was compared on",
        "other parts of it.",
        "",
    ],
    "demo, global": EARLIER,
    "ml-100k": EARLIER,
    "ml-latest-small, global": EARLIER,
    "citeulike-a": [
        "Articles in the libraries of researchers. That a penalty is strengthened only for a clear",
        "gain was compared on parts of its training part.",
        "",
    ],
    "taobao": ["Purchases in a shop, without times. Nothing was compared on it.", "", *EARLIER],
    "amazon-beauty": [
        "Reviews of cosmetics in a shop, without times. Nothing was compared on it.",
        "",
        *EARLIER,
    ],
    "yelp": ["Visits of businesses, without times. Nothing was compared on it.", "", *EARLIER],
    "ml1m": [
        "The ratings of ml-1m without stars and times. The strong penalties were compared on parts",
        "of its training part.",
        "",
    ],
    "amazon-sports": [
        "Reviews of sports goods in a shop, without times. That some users with few ratings are in",
        "the validation part was decided on these.",
        "",
    ],
}
OURS = "preset default"
HEAD = (
    *("data, held out", "users x movies, ratings", "ndcg@10", "best other", ""),
    *("recall@100", "best other", "", "RMSE", "churn", "processor s", "GB"),
)
LISTS = ("ndcg@10", "recall@10", "recall@20", "recall@100", "ndcg@100", "coverage@10")


def summary(results: list[dict]) -> list[str]:
    """Return the table with a row for each data set and split."""
    lines = [
        "",
        "### All data sets",
        "",
        f"The {OURS} against the best other in each metric: relative difference, win or loss if",
        "the 95 % interval excludes 0. Processor seconds and GB are those of a whole run.",
        "",
        f"| {' | '.join(HEAD)} |",
        "|---" * len(HEAD) + "|",
    ]
    for result in results:
        for split, found in result["splits"].items():
            if OURS in found["lists"]["differences"]:
                lines.append(_summary_row(f"{result['data']}, {SPLITS[split]}", found))
    return lines


def _summary_row(name: str, found: dict) -> str:
    table, less = found["lists"]["table"], found["lists"]["differences"][OURS]
    cells = [name, f"{found['users']:,} x {found['movies']:,}, {found['ratings']:,}"]
    for key in ("ndcg@10", "recall@100"):
        best = less[key]["best"]
        cells += [figure(table[OURS][key]), f"{best} {figure(table[best][key])}"]
        cells.append(_verdict(less[key]))
    stars = found["stars"].get("differences", {}).get(OURS)
    rmse = found["stars"]["table"][OURS]["rmse"] if stars else 0.0
    cells.append(f"{figure(rmse)}, {_verdict(stars['rmse'])}" if stars else "")
    cells.append(figure(found["churn"][OURS]) if OURS in found.get("churn", {}) else "")
    cells += [f"{table[OURS]['processor_seconds']:.0f}", f"{table[OURS]['peak_bytes'] / 1e9:.1f}"]
    return f"| {' | '.join(cells)} |"


def _verdict(less: dict) -> str:
    word = less["verdict"]
    return f"{100 * less['relative']:+.1f} % {f'**{word}**' if word == 'win' else word}"


def quality(result: dict) -> list[str]:
    """Return the tables of ranking and rating quality on one data set."""
    lines = []
    for split, held_out in SPLITS.items():
        if split in result["splits"]:
            found = result["splits"][split]
            title = f"### {result['data']}, held out {held_out}"
            lines += ["", title, "", *_notes(result["data"], split)]
            lines += [_cases(split, found), ""]
            lines += _lists(found["lists"], found.get("churn", {}))
            if found["stars"]:
                lines += ["", *_stars(found["stars"])]
    return lines


def _notes(data: str, split: str) -> list[str]:
    return NOTES.get(data) or NOTES.get(f"{data}, {split}", [])


def _cases(split: str, found: dict) -> str:
    repeated = "dates" if split == "global" else "seeds"
    return (
        f"{found['users']:,} users, {found['movies']:,} movies, {found['ratings']:,} ratings; "
        f"{repeated}: {found['cases']}; measured lists: {found['measured_users']:,}."
    )


def _lists(lists: dict, churn: dict) -> list[str]:
    head = [*LISTS, *(["churn"] if churn else []), "seconds", "settings tried"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, row in _ordered(lists["table"], "ndcg@10", reverse=True):
        cells = [figure(row[key]) for key in LISTS]
        if churn:
            cells.append(figure(churn[name]) if name in churn else "")
        lines.append(f"| {_bold(name)} | {' | '.join([*cells, *_cost(row)])} |")
    return [*lines, *_differences(lists["differences"])]


def _stars(stars: dict) -> list[str]:
    bands = list(next(iter(stars["table"].values()))["rmse_by_ratings"])
    head = ["RMSE", "MAE", *(f"RMSE, {band} ratings" for band in bands)]
    head += ["seconds", "settings tried"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, row in _ordered(stars["table"], "rmse"):
        figures = [row["rmse"], row["mae"], *(row["rmse_by_ratings"][band] for band in bands)]
        lines.append(f"| {_bold(name)} | {' | '.join([*map(figure, figures), *_cost(row)])} |")
    return [*lines, *_differences(stars["differences"])]


def _ordered(table: dict, key: str, *, reverse: bool = False) -> list[tuple[str, dict]]:
    """Return the rows, best first."""
    return sorted(table.items(), key=lambda item: item[1][key], reverse=reverse)


def _cost(row: dict) -> list[str]:
    """Return seconds, of the fit or of our whole run, and the number of settings tried."""
    tried = f"{row['tried']:.0f}" if "tried" in row else "a run's own"
    return [f"{row.get('fit_seconds', row.get('seconds')):.1f}", tried]


def _differences(differences: dict) -> list[str]:
    """Return the table of our differences to the best other, if any."""
    if not differences:
        return []
    lines = ["", "| | metric | best other | difference, 95 % interval | |", "|---" * 5 + "|"]
    for ours, less in differences.items():
        for key, found in less.items():
            low, high = found["interval"]
            interval = f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"
            lines.append(
                f"| {_bold(ours)} | {key} | {found['best']} | {interval} | {_verdict(found)} |"
            )
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


def continued(result: dict) -> list[str]:
    """Return the table of rating models that continue another, for one data set."""
    table = result["table"]
    lines = [
        "",
        f"### {result['data']}, continued rating model",
        "",
        "Written by `benchmarks/continued.py`: RMSE on the test part of models of the training and",
        "validation parts, trained from the posterior of a model of the training part alone (whose",
        f"RMSE is {result['measured']:.4f}), or from scratch.",
        "",
        "| epochs | continued | from scratch |",
        "|---|---|---|",
    ]
    rows = zip(result["epochs"], table["continued"], table["from scratch"], strict=True)
    lines += [f"| {epochs} | {own:.4f} | {other:.4f} |" for epochs, own, other in rows]
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


RECENT_COLUMNS = (
    *("events", "users", "most rated", "with recent", "list alone", "without the recent movies"),
    *("with recent", "to the list alone", "the model with all events"),
)


def recent(result: dict) -> list[str]:
    """Return the table of lists in a session, for one data set."""
    drawn = result["order"] == "drawn"
    lines = [
        "",
        f"### {result['data']}, in the session",
        "",
        "Written by `benchmarks/recent.py`: ndcg@10 of the last event of each user, by lists of a",
        f"training on everything before the session. The weight {result['weight']:g} was chosen on",
        "half of the users of demo, ml-latest-small and anime: the largest whose lists are nowhere",
        "worse than the list alone. The table has the other half, with 95 % bootstrap intervals.",
        *(["These ratings have no times, so their order is drawn."] if drawn else []),
        "",
        f"| {' | '.join(RECENT_COLUMNS)} |",
        "|---" * len(RECENT_COLUMNS) + "|",
    ]
    for length, session in result["sessions"].items():
        found, measured = session["differences"], session["measured"]
        gain = found["list with recent - list alone"]
        names = ("most rated", "most rated with recent", "list alone")
        cells = [
            *(figure(measured[name]) for name in (*names, "list without the recent movies")),
            f"**{figure(measured['list with recent'])}**",
            f"{gain['relative']:+.0%} ({_signed(gain)})",
            figure(measured["the model with the recent events in the history"]),
        ]
        lines.append(f"| {length} | {session['users']['measured']} | {' | '.join(cells)} |")
    return lines


def _signed(found: dict) -> str:
    low, high = found["interval"]
    return f"{low:+.4f} to {high:+.4f}"


def _with_ten(row: dict, written: Callable[[Any], str]) -> str:
    """Write recall over all other rated movies, and over at most ten of them."""
    return f"{written(row['recall@10'])} ({written(row['recall@10 of at most 10'])})"


def _interval(found: dict) -> str:
    low, high = found["interval"]
    return f"{low:.2f} to {high:.2f}"


def _bold(name: str) -> str:
    return f"**{name}**" if name.startswith(OURS) else name


def _versions(results: list[dict]) -> str:
    """Return names and versions of the others' packages."""
    found = {}
    for split in (split for result in results for split in result["splits"].values()):
        for row in split["lists"]["table"].values():
            found |= row.get("versions", {})
    return ", ".join(f"{name} {number}" for name, number in sorted(found.items()))


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
    machines = [split["machine"] for result in results for split in result["splits"].values()]
    machine, busiest = machines[0], max(own["load_before"] for own in machines)
    lines = [
        BEGIN,
        "## Comparison with other models",
        "",
        "Written by `benchmarks/quality.py`; `benchmarks/protocol.py` documents the protocol. Ours",
        "are the lists that a run publishes from the training part. Settings of the others are the",
        "best of several on a validation part. Everything is measured once on the test part.",
        "Seconds are those of the final fit, and of the whole run for a preset.",
        f"{machine['cores']} cores of {machine['processor']}, with a load of up to {busiest:.0f}",
        f"of other work, which lengthens them; {_versions(results)}.",
        *summary(results),
    ]
    for result in results:
        lines += quality(result)
    for name, section in (
        ("new_users", new_users),
        ("similar", similar),
        ("continued", continued),
        ("for_ratings", for_ratings),
        ("recent", recent),
    ):
        for path in sorted((HERE / "results").glob(f"{name}-*.json"), reverse=True):
            lines += section(json.loads(path.read_text("utf-8")))
    before, _, rest = MODELS.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    MODELS.write_text(before + "\n".join([*lines, END]) + after, "utf-8")
    print(f"wrote {MODELS.relative_to(HERE.parent)}")
