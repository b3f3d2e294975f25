"""The sections of docs/performance.md on scoring, rules, ranked lists, publishing and reading."""


def _machine(result: dict) -> str:
    machine = result["machine"]
    packages = [
        f"{name} {machine[name]}"
        for name in ("numpy", "tensorflow", "faiss-cpu", "implicit", "redis", "hiredis", "pyarrow")
        if name in machine
    ]
    return (
        f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}, "
        f"{', '.join(packages)}; load before {machine['load_before']:.1f}."
    )


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table."""
    return [
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def topk(result: dict) -> list[str]:
    """Return the section on exact lists with exclusions."""
    shapes = result["shapes"]
    head = ["", *(f"{s['users']:,} x {s['movies']:,}" for s in shapes)]
    rows = [["bound", *(f"{shape['bound']:.1f}" for shape in shapes)]]
    for name in shapes[0]["ways"]:
        cells = []
        for shape in shapes:
            row = shape["ways"][name]
            timed = "" if row["users_timed"] == shape["users"] else " *"
            cells.append(f"{row['of_gemm']:.2f} ({row['rows_a_second']:,.0f}{timed})")
        rows.append([f"**{name}**" if name == "ours" else name, *cells])
    return [
        "",
        "## Top 100 of each user",
        "",
        "`benchmarks/topk.py`: time as a multiple of the matrix product alone, in tiles of the",
        "same size as ours; in parentheses users a second. Seen movies are removed unless noted",
        f"otherwise. At least {_agreement(shapes):.2%} of the movies in the lists of each method",
        "that removes them are also in ours.",
        _machine(result),
        "",
        *table(head, rows),
        "",
        "\\* measured for the first users only.",
    ]


def _agreement(shapes: list[dict]) -> float:
    """Return the smallest share of movies that another way's lists have in common with ours."""
    return min(share for shape in shapes for share in shape["agreement"].values())


def rules(result: dict) -> list[str]:
    """Return the section on rules for lists."""
    cases = result["cases"]
    head = ["", *(f"{case['scores']}, {case['users']:,} users" for case in cases)]
    rows = []
    for name in cases[0]["sets"]:
        found = [case["sets"][name] for case in cases]
        cells = [f"{row['of_none']:.2f} ({row['rows_a_core_second']:,.0f})" for row in found]
        rows.append([name, *cells])
    return [
        "",
        "## Rules for lists",
        "",
        f"`benchmarks/rules.py`: top {result['k']} of {result['movies']:,} movies with rules,",
        "as a multiple of the processor time without rules; in parentheses users a second and",
        f"core. Medians of {result['rounds']} rounds, each with every set of rules in turn. The",
        f"bound of each rule is {result['bound']:.2f} with the sparse term, which the scores of",
        "the preset `default` have. The lists are exact: those of all movies as candidates.",
        _machine(result),
        "",
        *table(head, rows),
    ]


def ranked(result: dict) -> list[str]:
    """Return the section on ranked lists."""
    rows = [
        [
            f"**{name}**" if name.endswith("ours") else name,
            f"{row['million_pairs_a_second']:.2f}",
            f"{row['of_limit']:.2f}",
            f"{row['times_predict']:.1f}",
        ]
        for name, row in result["ways"].items()
    ]
    return [
        "",
        "## Ranked lists of all movies",
        "",
        f"`benchmarks/ranked.py`: {result['users']:,} users, {result['movies']:,} movies.",
        "*Network* is the model of the preset `notebook`, *linear* has the form of the preset",
        f"`default`. Ours computes lists of {result['k']:,}, the others only the stars. Bounds for",
        f"the network: at most {result['bound_of_limit']} times the product, at least",
        f"{result['bound_of_predict']} times as fast as `predict` at batch 8192, one call a user.",
        _machine(result),
        "",
        *table(
            ["", "million pairs/s", "time relative to the product", "speed relative to predict"],
            rows,
        ),
    ]


PUBLISH_ROWS = {
    "lists_a_second": ("from lists in memory to readers, artifact included: lists/s", ""),
    "from_artifact_lists_a_second": ("encode, write, read back, verify, switch: lists/s", "60,000"),
    "straightforward_lists_a_second": ("straightforward, from memory: lists/s", ""),
    "from_artifact_times_straightforward": (
        "encode, write, read back, verify, switch: times straightforward",
        "",
    ),
    "times_straightforward": (
        "from lists in memory, artifact included: times straightforward",
        "5",
    ),
    "raw_lists_a_second": ("encoded commands through a bare socket: lists/s", ""),
    "microseconds: write the artifact": ("write the artifact: µs a list", ""),
    "microseconds: encode and hash it": ("encode and hash it: µs a list", ""),
    "microseconds: stage": ("encode again and stage: µs a list", ""),
    "microseconds: verify": ("read back and hash: µs a list", ""),
    "value_bytes": ("value: bytes", ""),
    "memory_usage_a_list": ("MEMORY USAGE: bytes a list", ""),
    "used_memory_a_list": ("growth of used_memory: bytes a list", "1,400"),
}


def publish(result: dict) -> list[str]:
    """Return the section on publishing."""
    servers = result["servers"]
    rows = []
    for key, (words, bound) in PUBLISH_ROWS.items():
        digits = 1 if "µs" in words or "times" in words else 0
        rows.append([words, *(f"{found[key]:,.{digits}f}" for found in servers.values()), bound])
    return [
        "",
        "## Publishing",
        "",
        f"`benchmarks/publish.py`: {result['lists']:,} lists of 100 with MovieLens ids, medians",
        f"of {result['rounds']} rounds, one process and a server on this machine.",
        "*Straightforward* is `json.dumps`, SET in pipelines of 500, and reading one key in a",
        "hundred; ours reads every key back and compares it with the digest of the artifact.",
        _machine(result),
        "",
        *table(["", *servers, "bound"], rows),
    ]


def growth(result: dict) -> list[str]:
    """Return the section on the cost of doubling the users."""
    rows = [
        [
            f"{int(users):,}",
            f"{row['seconds']:.1f}",
            f"{row['scoring_seconds']:.1f}",
            f"{row['inputs_mb']:.0f}",
            f"{row['peak_mb']:.0f}",
            f"{row['peak_mb'] - row['inputs_mb']:.0f}",
        ]
        for users, row in result["users"].items()
    ]
    head = ["users", "seconds", "scoring alone", "inputs: MB", "peak: MB"]
    return [
        "",
        "## Doubling the users",
        "",
        f"`benchmarks/growth.py`: scoring against {result['movies']:,} movies, writing and",
        "publishing, in a process without TensorFlow. The inputs are the users' vectors,",
        f"histories and names. Twice the users take {result['times_as_long']:.2f} times as long",
        f"(bound 1.9 to 2.1) and {_added(result):.2f} times as much memory",
        "on top of the inputs (bound 1.1).",
        _machine(result),
        "",
        *table([*head, "peak less inputs: MB"], rows),
    ]


def _added(result: dict) -> float:
    """Return the ratio of memory added by the larger run."""
    small, large = result["added_mb"]
    return large / small


def reader(result: dict) -> list[str]:
    """Return the section on reading one list."""
    servers = result["servers"]
    rows_of = {
        "get_p50": "bare GET, p50: µs",
        "user_p50": "`Reader.user`, ten movies, p50: µs",
        "user_n_100_p50": "`Reader.user`, all hundred, p50: µs",
        "user_recent_p50": "`Reader.user`, ten movies, with ten recent ones, p50: µs",
        "ratio": "ten movies, times a bare GET",
        "ratio_n_100": "all hundred, times a bare GET",
        "ratio_recent": "with ten recent movies, times the list alone",
    }
    bounds = {
        "ratio": f"{result['bound']}",
        "user_recent_p50": f"{1000 * result['recent_bound_ms']:.0f}",
    }
    rows = []
    for key, text in rows_of.items():
        digits = 2 if key.startswith("ratio") else 0
        bound = bounds.get(key, "")
        rows.append([text, *(f"{found[key]:.{digits}f}" for found in servers.values()), bound])
    return [
        "",
        "## One answer",
        "",
        "`benchmarks/reader.py`: `Reader.user`, decoded and with titles, compared with a bare GET",
        "of the same value with the same client library, alternating.",
        _machine(result),
        "",
        *table(["", *servers, "bound"], rows),
    ]


def reasons(result: dict) -> list[str]:
    """Return the section on the cost of explanations."""
    rows = [
        [
            f"{shape['movies']:,}",
            f"{shape['ratings_a_user']:.0f}",
            f"{shape['lists_ms']:.2f}",
            f"{shape['reasons_ms']:.2f}",
            f"{shape['list_bytes']:,.0f}",
            f"{shape['reasons_bytes']:,.0f}",
        ]
        for shape in result["shapes"]
    ]
    head = ["movies", "ratings per user", "lists: ms per user", "explanations: ms per user"]
    return [
        "",
        "## Why each movie is in a list",
        "",
        f"`benchmarks/reasons.py`: lists of {result['k']}, vectors of the preset `default`'s",
        "width, one thread. Every rated movie is a candidate; a run excludes those that the",
        "user rated below their own mean, and takes less. Bytes are those of the values, with",
        "positions as ids.",
        _machine(result),
        "",
        *table([*head, "a list: bytes", "its explanations: bytes"], rows),
    ]


def training(result: dict) -> list[str]:
    """Return the section on the duration of a training step."""
    rows = []
    for name, found in result["trainings"].items():
        limit = found["products_ms"] + found["optimizer_ms"]
        rows.append(
            [
                name,
                f"{found['steps']:,}",
                f"{found['step_ms']:.1f}",
                f"{found['products_ms']:.1f}",
                f"{found['optimizer_ms']:.1f}",
                f"{found['step_ms'] / limit:.1f}",
                _of(found["xla_step_ms"], found["step_ms"]),
                ", ".join(f"{kind} {share:.0%}" for kind, share in found["operations"].items()),
            ]
        )
    head = ["", "steps", "a step: ms", "products alone: ms", "optimizer's bytes alone: ms"]
    return [
        "",
        "## Steps of training",
        "",
        f"`benchmarks/training.py`, data {result['data']}: each training alone, with one",
        "thread, as in a run with two concurrent trainings. *Products* are the matrix products of",
        "a step and of its gradients; *bytes* are Adam's reads and writes, all weights in every",
        "step, at the speed of copying memory. The rest is histories: sums over rows of tables.",
        "*XLA* is TensorFlow's automatic clustering, as a multiple of the time without; a run",
        "does not use it. `--tensorboard DIR` keeps the profiles for TensorBoard.",
        _machine(result),
        "",
        *table([*head, "times both", "with XLA", "where the time goes"], rows),
    ]


def _of(part: float | None, whole: float) -> str:
    return "does not run" if part is None else f"{part / whole:.2f}"


SECTIONS = {
    "training": training,
    "topk": topk,
    "rules": rules,
    "ranked": ranked,
    "publish": publish,
    "growth": growth,
    "reader": reader,
    "reasons": reasons,
}
