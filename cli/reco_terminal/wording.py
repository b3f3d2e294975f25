"""Texts that both commands print: the metrics of a run, and ages.

Pure functions of a manifest's metrics. A manifest may be of another version: missing metrics are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reco_store.contract.metrics import WITH_RULES, Figure, Use, figures
from reco_store.contract.words import DEFAULT_WORDS, Words

#: With fewer test users a metric is too uncertain to be shown without its interval.
_FEW_USERS: Final = 50
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Shares of the parts of the retrieval model's score.
_SHARES: Final = {
    "tower_share": "encoder",
    "neighbour_share": "neighbours",
    "popularity_share": "popularity",
    "recent_share": "recent popularity",
}
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


def _counted(count: float, unit: str) -> str:
    return f"{int(count)} {unit}{'' if int(count) == 1 else 's'}"
