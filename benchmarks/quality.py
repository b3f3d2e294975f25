"""Recommendation quality on any data set, compared with tuned models of other libraries.

`protocol.py` documents the protocol. What users get is measured: the job runs on the training part
as a process, and its published lists are read from the store. Predicted stars come from the run's
SavedModel. Random and time splits are repeated for each seed, of the split and of the training, the
global split for each date. Values of all cases are pooled; differences to the best of the others
have 95 % bootstrap intervals that draw users with all their values.

The others are measured once and kept in the work folder; later calls measure ours alone.

usage: quality.py [--data DIR|demo] [--split random|time|global] [--seeds 3] [--dates 10]
                  [--presets default ...] [--peers NAME ...] [--churn] [--rating-scale LOW:HIGH]
                  [--work FOLDER] [-- OPTION ...]

--peers     only these others; `none` for those that are kept already
--presets   `none` for the others alone
--churn     also share of the top-10 that changes if the data grow by 1 %
OPTION      of `batch run`, such as --parameters FILE
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
from machine import begin_anew_without_slowing, describe
from numpy.typing import NDArray
from peers import PEERS
from protocol import Case, K, coverage, difference, metrics_by_user, parts, read_ratings
from runs import BIN, measured
from star_peers import STAR_PEERS
from whole_job import as_folder

from reco_store import Reader

HERE = Path(__file__).parent
OURS = "preset "
COMPARED = ("ndcg@10", "recall@10", "recall@20", "ndcg@100", "recall@100")
#: Upper bounds of the numbers of a movie's ratings that errors are given by.
BANDS = (0, 2, 9, 49)
GROWTH = 0.01
LIBRARIES = ("implicit", "irspack", "myfm")


def has_stars(case: Case) -> bool:
    """Return whether the ratings differ; otherwise they are implicit feedback."""
    return "rating" in case.train and case.train["rating"].nunique() > 1


def libraries() -> dict[str, object]:
    """Return the note on versions of the others' packages; ours need none of them."""
    found = (package for package in distributions() if package.name in LIBRARIES)
    return {"versions": {package.name: package.version for package in found}}


def measure_peers(case: Case, wanted: Sequence[str] | None) -> None:
    """Measure the recommenders of other origin that are not kept yet; None for all."""

    def missing(names: Mapping[str, object], kind: str) -> Iterator[str]:
        kept = case.kept(kind)
        return (n for n in names if n not in kept and (wanted is None or n in wanted))

    for name in missing(PEERS, "lists"):
        if "timestamp" in case.train or not PEERS[name].needs_times:
            lists, notes = PEERS[name].lists(case)
            case.keep(name, {**notes, **libraries()}, lists=lists)
            print(f"  {name}: {json.dumps(notes)}", flush=True)
    for name in missing(STAR_PEERS if has_stars(case) else {}, "stars"):
        predicted, notes = STAR_PEERS[name].stars(case)
        case.keep(name, {**notes, **libraries()}, stars=predicted)
        print(f"  {name}: {json.dumps(notes)}", flush=True)


@contextmanager
def served() -> Iterator[Path]:
    """Yield a home for runs, and stop its store at the end."""
    with tempfile.TemporaryDirectory(prefix="reco-") as folder:
        home = Path(folder) / "home"
        try:
            yield home
        finally:
            stop = [str(BIN / "batch"), "store", "stop", "--home", str(home)]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL)


def publish(case: Case, home: Path, preset: str, options: Sequence[str]) -> dict[str, object]:
    """Run the job on a case's training part, and return its cost."""
    command = [str(BIN / "batch"), "run", "--data", str((case.folder / "data").resolve())]
    command += ["--home", str(home), "--preset", preset, "--seed", str(case.seed)]
    command += ["--split", case.split, "--force", "benchmark", *options]
    run = measured(command, home.parent / "log")
    return {name: run[name] for name in ("seconds", "processor_seconds", "peak_bytes")}


def read_lists(case: Case, home: Path) -> NDArray[np.int32]:
    """Return the published lists, [U, K]; what fills up short lists is left out."""
    lists = np.full((len(case.users), K), -1, np.int32)
    with Reader(home=home) as reader:
        for row, user in enumerate(case.users):
            items = [i.movie_id for i in reader.user(user, n=K).items if i.source == "personal"]
            lists[row, : len(items)] = case.items.get_indexer(items)
    return lists


def read_stars(case: Case, home: Path) -> NDArray[np.float32]:
    """Return the predictions of the run's SavedModel for the test ratings, [N]."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # noqa: PLC0415  # seconds

    model = tf.saved_model.load(str(next((home / "artifacts").glob("*/models/explicit_model"))))
    predict = model.signatures["serving_default"]
    found = []
    for start in range(0, len(case.test), 10_000):
        rows = case.test.iloc[start : start + 10_000]
        ids = {key: tf.constant(rows[key].to_numpy(object)) for key in ("userId", "movieId")}
        found.append(predict(**ids)["stars"].numpy().ravel())
    return np.concatenate(found)


def measure_ours(case: Case, preset: str, options: Sequence[str]) -> None:
    """Run the job, and keep what it published."""
    with served() as home:
        cost = publish(case, home, preset, options)
        found = {"lists": read_lists(case, home)}
        if has_stars(case):
            found["stars"] = read_stars(case, home)
    case.keep(OURS + preset, {"options": list(options), **cost}, **found)
    print(f"  {OURS}{preset}: {json.dumps(cost)}", flush=True)


def grown(case: Case) -> Case:
    """Return the case before it grew: without a random hundredth of its training part."""
    kept = case.train.sample(frac=1 - GROWTH, random_state=case.seed).sort_index()
    before = replace(case, folder=case.folder / "before", train=kept, test=case.test)
    before.write()
    return before


def measure_churn(case: Case, presets: Sequence[str], options: Sequence[str]) -> dict[str, float]:
    """Return the share of the top-10 that is gone after 1 % more ratings, by recommender.

    Ours are two runs in one home, so the second begins with the choice of the first.
    """
    before, found = grown(case), {}
    for name, (after, notes) in case.kept("lists").items():
        if name.removeprefix(OURS) in presets:
            with served() as home:
                publish(before, home, name.removeprefix(OURS), options)
                lists = read_lists(before, home)
                publish(case, home, name.removeprefix(OURS), options)
                after = read_lists(case, home)  # noqa: PLW2901  # instead of a first run's
        elif name in PEERS:
            fixed = replace(PEERS[name], settings=[notes["settings"]], tuner=None)
            lists, _ = fixed.lists(before)
        else:
            continue
        later = after[case.users.get_indexer(before.users)]
        gone = [
            1 - np.isin(old, new).mean()
            for old, new in zip(lists[:, :10], later[:, :10], strict=True)
        ]
        found[name] = float(np.mean(gone))
    return found


def pooled(cases: Sequence[Case], kind: str) -> dict[str, list[tuple[Case, NDArray, Mapping]]]:
    """Return what was measured in every case, by name."""
    found: dict[str, list[tuple[Case, NDArray, Mapping]]] = {}
    for case in cases:
        for name, (values, notes) in case.kept(kind).items():
            found.setdefault(name, []).append((case, values, notes))
    return {name: each for name, each in found.items() if len(each) == len(cases)}


def notes_of(each: Sequence[tuple[Case, NDArray, Mapping]]) -> dict[str, object]:
    """Return the notes on all cases: means of numbers, all settings, versions."""
    notes = [note for _, _, note in each]
    numbers = {
        key: float(np.mean([note[key] for note in notes]))
        for key, value in notes[0].items()
        if isinstance(value, int | float)
    }
    if "settings" not in notes[0]:
        return numbers
    settings = [note["settings"] for note in notes]
    return {**numbers, "settings": settings, "versions": notes[0].get("versions", {})}


def compare_lists(cases: Sequence[Case]) -> dict[str, object]:
    """Return the table of lists, and our differences to the best other in each metric."""
    users = np.concatenate([case.users[case.asked] for case in cases])
    by_user, table = {}, {}
    for name, each in pooled(cases, "lists").items():
        found = [metrics_by_user(lists, case.wanted) for case, lists, _ in each]
        by_user[name] = {key: np.concatenate([one[key] for one in found]) for key in COMPARED}
        table[name] = {
            **{key: float(values.mean()) for key, values in by_user[name].items()},
            "coverage@10": float(np.mean([coverage(case, lists) for case, lists, _ in each])),
            "ndcg@10_by_case": [float(one["ndcg@10"].mean()) for one in found],
            **notes_of(each),
        }
    differences = {}
    others = [name for name in table if not name.startswith(OURS)]
    for ours in (name for name in table if name.startswith(OURS) and others):
        for key in COMPARED:
            best = max(others, key=lambda name: table[name][key])
            less = difference(by_user[ours][key], by_user[best][key], users)
            differences.setdefault(ours, {})[key] = {"best": best, **less, **verdict(less)}
    return {"table": table, "differences": differences}


def verdict(less: Mapping[str, object], *, error: bool = False) -> dict[str, str]:
    """Return whether a difference is a win, a loss or a tie; smaller errors are better."""
    low, high = sorted(-end for end in less["interval"]) if error else less["interval"]
    return {"verdict": "win" if low > 0 else "loss" if high < 0 else "tie"}


def compare_stars(cases: Sequence[Case]) -> dict[str, object]:
    """Return the table of predicted stars, and our differences to the best other in RMSE."""
    table, squares = {}, {}
    if not all(has_stars(case) for case in cases):
        return {}
    users = np.concatenate([case.test["userId"] for case in cases])
    truth = np.concatenate([case.test["rating"] for case in cases])
    counts = np.concatenate(
        [
            np.asarray(case.seen.sum(axis=0)).ravel()[case.items.get_indexer(case.test["movieId"])]
            for case in cases
        ]
    )
    band = np.searchsorted(BANDS, counts)
    for name, each in pooled(cases, "stars").items():
        errors = np.concatenate([predicted for _, predicted, _ in each]) - truth
        squares[name] = errors**2
        table[name] = {
            "rmse": float(np.sqrt(squares[name].mean())),
            "mae": float(np.abs(errors).mean()),
            "rmse_by_ratings": {
                label: float(np.sqrt(squares[name][band == number].mean()))
                for number, label in enumerate(("0", "1-2", "3-9", "10-49", "50+"))
                if (band == number).any()
            },
            **notes_of(each),
        }
    differences = {}
    others = [name for name in table if not name.startswith(OURS)]
    for ours in (name for name in table if name.startswith(OURS) and others):
        best = min(others, key=lambda name: table[name]["rmse"])
        less = difference(squares[ours], squares[best], users, of_mean=np.sqrt)
        differences[ours] = {"rmse": {"best": best, **less, **verdict(less, error=True)}}
    return {"table": table, "differences": differences}


def described(folder: Path, cases: Sequence[Case], *, options: Sequence[str]) -> dict[str, object]:
    """Return what was measured: size and fingerprint of the data, cases, options."""
    ratings, movies = read_ratings(folder)
    return {
        "users": ratings["userId"].nunique(),
        "movies": len(movies),
        "ratings": len(ratings),
        "sha256": hashlib.sha256((folder / "ratings.csv").read_bytes()).hexdigest(),
        "cases": len(cases),
        "measured_users": int(sum(len(case.asked) for case in cases)),
        "options": list(options),
    }


def show(measured_parts: Mapping[str, object]) -> None:
    """Print the tables, best first."""
    for part, key, sign in (("lists", "ndcg@10", -1), ("stars", "rmse", 1)):
        if measured_parts[part]:
            table = measured_parts[part]["table"]
            for name, row in sorted(table.items(), key=lambda item: sign * item[1][key]):
                figures = {k: round(v, 4) for k, v in row.items() if isinstance(v, float)}
                print(f"  {name:26}{json.dumps(figures)}")
            for ours, less in measured_parts[part]["differences"].items():
                for metric, found in less.items():
                    print(f"  {ours} {metric}: {json.dumps(found)}", flush=True)


def read_arguments() -> argparse.Namespace:
    """Return the command's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="demo")
    parser.add_argument("--split", default="random", choices=["random", "time", "global"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dates", type=int, default=10)
    parser.add_argument("--presets", nargs="*", default=["default"])
    parser.add_argument("--peers", nargs="*", choices=[*PEERS, *STAR_PEERS, "none"], metavar="NAME")
    parser.add_argument("--churn", action="store_true")
    parser.add_argument("--rating-scale")
    parser.add_argument("--work", type=Path, default=Path(".quality"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    arguments = parser.parse_args(given[:end])
    scale = ["--rating-scale", arguments.rating_scale] if arguments.rating_scale else []
    arguments.options = [*scale, *given[end + 1 :]]
    arguments.presets = [preset for preset in arguments.presets if preset != "none"]
    return arguments


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Measure all cases of a split."""
    ratings, movies = read_ratings(folder)
    name, split = Path(arguments.data).name, arguments.split
    cases = []
    drawn = parts(ratings, split, seeds=arguments.seeds, dates=arguments.dates)
    for number, (seed, train, test) in enumerate(drawn):
        label = f"date-{number}-of-{arguments.dates}" if split == "global" else f"seed-{seed}"
        case = Case(arguments.work / f"{name}-{split}" / label, split, seed, train, test, movies)
        case.write()
        print(f"{name}, split {split}, {label}: {len(train)} ratings, {len(test)} held out")
        measure_peers(case, arguments.peers)
        for preset in arguments.presets:
            measure_ours(case, preset, arguments.options)
        cases.append(case)
    found = {
        **described(folder, cases, options=arguments.options),
        "lists": compare_lists(cases),
        "stars": compare_stars(cases),
    }
    if arguments.churn:
        found["churn"] = measure_churn(cases[0], arguments.presets, arguments.options)
        print(f"  churn: {json.dumps(found['churn'])}", flush=True)
    show(found)
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    begin_anew_without_slowing()
    arguments = read_arguments()
    name = Path(arguments.data).name
    machine = describe()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(arguments, as_folder(arguments.data, Path(scratch)))
    path = arguments.results / f"quality-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = json.loads(path.read_text("utf-8")) if path.exists() else {}
    splits = {**result.get("splits", {}), arguments.split: {"machine": machine, **found}}
    result = {"figure": "quality", "data": name, "splits": splits}
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
