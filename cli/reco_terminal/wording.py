"""Texts that both commands print: the metrics of a run.

Pure functions of a manifest's metrics. A manifest may be of another version: missing metrics are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from reco_store.contract.metrics import WITH_RULES, Figure, Use, figures
from reco_store.contract.words import DEFAULT_WORDS, Words, counted

#: With fewer test users a metric is too uncertain to be shown without its interval.
_FEW_USERS: Final = 50
#: Shares of the parts of the retrieval model's score.
_SHARES: Final = {
    "tower_share": "encoder",
    "neighbour_share": "neighbours",
    "popularity_share": "popularity",
    "recent_share": "recent popularity",
}
#: Metrics of lists that were served -> label.
_HINDSIGHT: Final = {"ndcg@10": "NDCG@10", "hit@10": "Hit rate@10", "recall@100": "Recall@100"}
#: Text in place of errors of predicted ratings.
WITHOUT_RATINGS: Final = "not measured: the interactions have no rating values"


def quality_figures(
    metrics: object, before: object = None, *, data: object = None
) -> dict[str, str]:
    """Return the main metrics, each with the previous live value and its baseline.

    Args:
        metrics: of the manifest; anything.
        before: metrics of the generation that was live before; anything.
        data: of the manifest; anything. For few test users, or a global split, the texts contain
            95 % intervals, and the number of test users is the last text.

    Returns:
        Label -> text, such as `NDCG@10` -> `0.385 (live before 0.396, most popular 0.188)`.
    """
    size = data if isinstance(data, Mapping) else {}
    users = size.get("test_users")
    is_uncertain = isinstance(users, int) and (users < _FEW_USERS or "held_out_after" in size)
    found = {
        figure.label: text
        for figure in figures(Use.SUMMARY)
        if (text := _value_words(figure, metrics, before, interval=is_uncertain))
    }
    return found | ({"test users": f"{users:,}"} if found and is_uncertain else {})


def quality_words(metrics: object, words: Words = DEFAULT_WORDS) -> dict[str, str]:
    """Return the metrics that have an explanation, each with its baseline and meaning.

    Args:
        metrics: of the manifest; anything.
        words: words of the catalogue.

    Returns:
        Label -> text, such as `Recall@100` -> `0.532 (most popular 0.303). Share of ...`.
    """
    found = {
        figure.label: words.adapt(f"{text}. {figure.meaning}")
        for figure in figures(Use.DETAILS)
        if (text := _value_words(figure, metrics, None, every=True))
    }
    if isinstance(metrics, Mapping) and metrics.get("without_stars") is True:
        found.setdefault("RMSE", WITHOUT_RATINGS)
    return found


def refresh_words(manifest: Mapping[str, object]) -> tuple[str, ...]:
    """Return what a refresh computed, and the run that trained its models; empty for a run.

    Args:
        manifest: of a generation.

    Returns:
        Texts such as `lists of 12 of 610 users` and `models of 20261124T031502Z-7f3a`.
    """
    found, data = manifest.get("refresh"), manifest.get("data")
    if not isinstance(found, Mapping):
        return ()
    users = found.get("users")
    every = data.get("users") if isinstance(data, Mapping) else None
    texts = []
    if isinstance(users, int) and isinstance(every, int):
        lists = "all lists" if found.get("all_lists") is True else "lists"
        texts.append(f"{lists} of {users:,} of {counted(every, 'user')} computed")
    return (*texts, f"models of {found.get('trained_by')}")


def chosen_words(metrics: object) -> str:
    """Return the main values that the run chose for its catalogue; empty if it chose none.

    Args:
        metrics: of the manifest; anything.

    Returns:
        A text such as `ordered neighbours; shares: encoder 1, neighbours 0.35, popularity 0`.
    """
    chosen = metrics.get("chosen") if isinstance(metrics, Mapping) else None
    values = chosen.get("retrieval") if isinstance(chosen, Mapping) else None
    kind = values.get("neighbours.kind") if isinstance(values, Mapping) else None
    shares = ", ".join(
        f"{label} {share:g}"
        for name, label in _SHARES.items()
        if (share := _part(chosen, "retrieval").get(name)) is not None
    )
    kinds = [f"{kind} neighbours"] if isinstance(kind, str) else []
    return "; ".join([*kinds, *([f"shares: {shares}"] if shares else [])])


def hindsight_words(found: object, words: Words = DEFAULT_WORDS) -> str:
    """Return how the lists that were served compare with popular movies; empty without a section.

    Args:
        found: section `hindsight` of the manifest; anything.
        words: words of the catalogue.

    Returns:
        A text such as `NDCG@10 0.081 (most popular 0.060), Hit rate@10 0.310 (most popular 0.240),
        410 users, 1,204 ratings since 2026-11-28`, or the reason why nothing was measured.
    """
    if not isinstance(found, Mapping):
        return ""
    if isinstance(why := found.get("not_measured"), str):
        return f"not measured: {why}"
    served, popular = (_part(found, name) for name in ("served", "popular"))
    since = found.get("since")
    after = f" since {_date(since)}" if isinstance(since, int) else ""
    parts = [
        f"{label} {served[name]:.3f} (most popular {popular[name]:.3f})"
        for name, label in _HINDSIGHT.items()
        if name in served and name in popular
    ]
    users, done = found.get("users"), found.get("interactions")
    if not (parts and isinstance(users, int) and isinstance(done, int)):
        return words.adapt(f"no new ratings of known users{after}")
    counts = f"{counted(users, 'user')}, {words.count_interactions(done)}{after}"
    return f"{', '.join(parts)}, {counts}"


def verdict_lines(found: object, words: Words = DEFAULT_WORDS) -> list[str]:
    """Return in which arm of an experiment people did more; empty without a section.

    Args:
        found: section `experiment` of the manifest; anything.
        words: words of the catalogue.

    Returns:
        A text for each arm but the first, such as `reco-b is better than reco: +12.3% (95 %: +4.1%
        to +20.5%) ratings a user and day, after 6.2 days`, or the reason why nothing was measured.
    """
    part = found if isinstance(found, Mapping) else {}
    if isinstance(why := part.get("not_measured"), str):
        return [f"not measured: {why}"]
    arms, others = (_objects(part.get(name)) for name in ("arms", "comparisons"))
    if not arms:
        return []
    control, days = str(arms[0].get("namespace")), part.get("days")
    after = f", after {days:.1f} days" if isinstance(days, int | float) else ""
    return [f"{_comparison_words(one, control, words)}{after}" for one in others]


def verdict_words(found: object, words: Words = DEFAULT_WORDS) -> str:
    """Return `verdict_lines` as one text."""
    return "; ".join(verdict_lines(found, words))


def lift_figures(one: Mapping[str, object]) -> tuple[str, str]:
    """Return the relative difference of an arm, and its interval; empty if they are not known.

    Args:
        one: of `comparisons` in the section.
    """
    lift, low, high = (one.get(name) for name in ("lift", "lift_low", "lift_high"))
    if not (isinstance(lift, float) and isinstance(low, float) and isinstance(high, float)):
        return "", ""
    return f"{lift:+.1%}", f"{low:+.1%} to {high:+.1%}"


def lift_words(one: Mapping[str, object]) -> str:
    """Return `lift_figures` as one text, such as `+12.3% (95 %: +4.1% to +20.5%)`."""
    lift, interval = lift_figures(one)
    return f"{lift} (95 %: {interval})" if lift else ""


def _comparison_words(one: Mapping[str, object], control: str, words: Words) -> str:
    name, verdict = one.get("namespace"), one.get("verdict")
    relation = f"no difference between {name} and {control} is certain yet"
    if verdict in {"better", "worse"}:
        relation = f"{name} is {verdict} than {control}"
    figures = f": {lift} {words.interactions} a user and day" if (lift := lift_words(one)) else ""
    return f"{relation}{figures}"


def _objects(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _value_words(
    figure: Figure, metrics: object, before: object, *, interval: bool = False, every: bool = False
) -> str:
    """Return a value with the previous live one and the baseline's; empty if the run has none.

    Args:
        figure: metric of a group.
        metrics: of the manifest.
        before: metrics of the generation that was live before.
        interval: add the 95 % interval.
        every: add the baselines from recent ratings.
    """
    group, spec = figure.group, figure.metric.format
    value = _part(metrics, group.name).get(figure.name)
    if value is None:
        return ""
    ends = interval and _interval(metrics, group.name, figure.name)
    between = [f"95 %: {ends[0]:{spec}} to {ends[1]:{spec}}"] if ends else []
    compared = {
        "live before": _part(before, group.name).get(figure.name),
        WITH_RULES: _part(metrics, group.with_rules).get(figure.name),
        group.baseline_label: _part(metrics, group.baseline).get(figure.name),
    }
    if every:
        for name, words in group.recent_baselines.items():
            compared[words] = _part(metrics, name).get(figure.name)
    beside = (f"{name} {v:{spec}}" for name, v in compared.items() if v is not None)
    text = ", ".join([*between, *beside])
    return f"{value:{spec}}" + (f" ({text})" if text else "")


def _interval(metrics: object, group: str, name: str) -> tuple[float, float] | None:
    part = metrics.get("intervals") if isinstance(metrics, Mapping) else None
    of_group = part.get(group) if isinstance(part, Mapping) else None
    match of_group.get(name) if isinstance(of_group, Mapping) else None:
        case [float(low), float(high)]:
            return low, high
    return None


def _part(metrics: object, name: str) -> Mapping[str, float]:
    part = metrics.get(name) if isinstance(metrics, Mapping) else None
    if not isinstance(part, Mapping):
        return {}
    return {key: value for key, value in part.items() if isinstance(value, int | float)}
