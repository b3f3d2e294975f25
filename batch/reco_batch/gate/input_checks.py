"""Checks of the input: its age, and its size compared with the live generation's.

Pure functions of manifests and thresholds. The run makes these checks before training, too. A check
without a live generation passes as "no baseline"; a check without a value is "skipped" with the
reason.
"""

import math
from collections.abc import Iterator

from reco_batch.artifact.check import (
    AT_LEAST,
    AT_MOST,
    NO_BASELINE,
    NOTED,
    SKIPPED,
    WARNING,
    Check,
    at_least,
    at_most,
    short,
)
from reco_batch.artifact.manifests import Manifests, number, origin_of, section
from reco_batch.data.dataset import SECONDS_PER_DAY
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store.contract.manifest import created_seconds
from reco_store.contract.words import words_of


def check_input(manifests: Manifests, bounds: GateBounds) -> list[Check]:
    """Return the checks of the input.

    Args:
        manifests: both manifests; only `created`, `ids` and `data` of the staged one are read.
        bounds: thresholds.
    """
    return [*_age(manifests, bounds), *_sizes(manifests, bounds)]


def against_live(
    manifests: Manifests,
    name: str,
    figure: float | None,
    relation: str,
    bound: float | None,
    *,
    was: float | None = None,
    lacking: str = "the live manifest lacks it",
) -> Check:
    """Return a check whose threshold follows from the live generation.

    Args:
        manifests: both manifests.
        name: name of the check.
        figure: value of the staged generation.
        relation: `AT_LEAST` or `AT_MOST`.
        bound: threshold; None if the live generation does not have the value.
        was: value of the live generation, for the note.
        lacking: reason for skipping the check.
    """
    if manifests.live is None:
        return Check(name, figure, "", None, NO_BASELINE)
    if figure is None or bound is None:
        return Check(name, figure, "", None, SKIPPED, lacking)
    note = "" if was is None else f"live {short(was)}"
    compare = at_least if relation == AT_LEAST else at_most
    return compare(name, figure, bound, note=note)


def _age(manifests: Manifests, bounds: GateBounds) -> Iterator[Check]:
    """Yield the checks of the newest rating's time, and of changes of the input's kind."""
    newest, live_newest = (number(m, "data", "newest_rating") for m in manifests)
    if live_newest is not None and manifests.live is not None:
        # An earlier version accepted dates in the future, which would make every input old.
        live_newest = min(live_newest, created_seconds(manifests.live))
    behind = None if newest is None or live_newest is None else live_newest - newest
    yield against_live(
        manifests,
        "input.days_behind",
        None if behind is None else behind / SECONDS_PER_DAY,
        AT_MOST,
        bounds.days_behind,
        lacking="no timestamps to compare",
    )
    created = created_seconds(manifests.staged)
    age = None if newest is None else (created - newest) / SECONDS_PER_DAY
    if bounds.rating_age_days is None:
        yield Check("input.age_days", age, AT_MOST, None, NOTED, "no threshold is set")
    else:
        yield at_most("input.age_days", age, bounds.rating_age_days)
    if manifests.live is not None and origin_of(manifests.staged) == origin_of(manifests.live):
        yield Check("input.identical", 1, "", None, NOTED, "the same files as the live generation")
    kinds = [m.get("ids") for m in manifests if m is not None]
    if len(set(kinds)) > 1:
        item = words_of(manifests.staged).item
        note = f"{item} ids in values are of type {kinds[0]}, in the live generation {kinds[1]}"
        yield Check("input.ids", None, "", None, WARNING, note)


def _sizes(manifests: Manifests, bounds: GateBounds) -> Iterator[Check]:
    """Yield the checks of the numbers of users, movies and ratings."""
    for name in ("users", "movies", "ratings"):
        now, before = (number(m, "data", name) for m in manifests)
        if (
            name == "movies"
            and now is not None
            and not section(manifests.live, "data").get("unlisted")
        ):
            # Earlier versions also counted rated movies that the movies file lacks.
            now += number(manifests.staged, "data", "unlisted", "movies") or 0
        least = None if before is None else math.ceil(before * (1 - bounds.shrink))
        yield against_live(manifests, f"input.{name}", now, AT_LEAST, least, was=before)
