"""Runs with a complete manifest whose texts try to do harm.

Titles and user ids contain markup and scripts that a page must show as text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gated_nights import DAY, MOVIES, NEWEST, Night, Nights
from planted_ratings import planted_ratings
from reco_batch.artifact.folder import Artifact, open_artifact
from reco_batch.data import columns as c
from reco_batch.settings.gate_thresholds import GateBounds

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    '"><img src=http://127.0.0.1:9/pixel onerror=alert(1)>',
    "</style><style>body { display: none }</style>",
    "' onmouseover='alert(1)",
    "\u202etxt.exe",
    "\x1b[2J\x07",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&amp;",
    "千と千尋の神隠し 🎬 (2001)",
    "x" * 5_000,
    "<svg/onload=alert(1)>",
)
LOSSES = [[1, 0.9], [2, 0.5], [3, 0.4], [1, 0.8], [2, 0.45], [3, 0.41]]


@dataclass(frozen=True)
class Kept:
    """The runs of one folder."""

    nights: Nights
    first: Artifact
    second: Artifact
    refused: Artifact


def user_id(number: str) -> str:
    """Make an id that is not a number."""
    return f"<b onclick=alert({number})>{number}"


def told(night: Night) -> Night:
    """Fill the manifest of a run with all that a complete one contains, under hostile titles."""
    titles = (HOSTILE * MOVIES)[:MOVIES]
    night.written_movies = replace(night.movies, titles=titles)
    night.manifest |= {
        "began": {"read": 0.0, "train rating": 1.0, "refit rating": 1.5},
        "seconds": {"read": 1.0, "train rating": 75.0, "refit rating": 3700.0},
        "losses": {"train rating": LOSSES, "refit rating": LOSSES[:1], "choose": LOSSES},
        "versions": {"reco": "0.1.0"},
    }
    night.manifest["parameters"] |= {"namespace": "kept", "seed": 7}
    night.manifest["data"]["findings"] = ["3 ratings were <i>odd</i>"]
    night.manifest["metrics"]["intervals"] = {"retrieval": {"top_10_accuracy": [0.1, 0.3]}}
    figures = {"ndcg@10": 0.2, "hit@10": 0.3}
    night.manifest["hindsight"] = {
        "generation": HOSTILE[0],
        "since": NEWEST - DAY,
        "until": NEWEST,
        "users": 50,
        "interactions": 90,
        "served": figures,
        "popular": figures,
        "by_age": [{"from_day": 0, "to_day": 1, "users": 50, "interactions": 90}],
        "new_users": {"users": 2},
    }
    arms = [{"namespace": name, "users": 25, "rate": 0.5} for name in ("one", HOSTILE[0])]
    compared = {"namespace": HOSTILE[0], "lift": 0.1, "lift_low": -0.1, "lift_high": 0.3}
    night.manifest["experiment"] = {"name": HOSTILE[1], "arms": arms, "comparisons": [compared]}
    night.manifest["metrics"]["means"] = {"rmse": 0.95}
    kinds = {name: {"neighbours.kind": name} for name in (HOSTILE[0], "walk")}
    tried = {"ndcg@10": 0.1, "recall@100": 0.3}
    night.manifest["metrics"]["chosen"] = {
        "retrieval": {"neighbours.kind": HOSTILE[0], "recency": 0.25},
        "tried": [
            *({"name": "neighbours.kind", "values": own, **tried} for own in kinds.values()),
            {"name": HOSTILE[1], "values": {}, **tried},
        ],
        "notes": [HOSTILE[2]],
    }
    return night


def keep_nights(url: str, folder: Path) -> Kept:
    """Publish three runs: two are accepted, the third is refused."""
    ratings = planted_ratings(seed=3, users=200, movies=MOVIES, at_least=25)
    ratings = ratings.assign(timestamp=NEWEST - ratings[c.TIMESTAMP] % (1000 * DAY))
    good = Night(ratings, "20261124T031500Z-7f3a", rename_user=user_id)
    good.score()
    nights = Nights(url, "kept", folder, good)
    made = []
    for bounds in (GateBounds(), GateBounds(), GateBounds(churn=0.01, coverage=1.0)):
        chosen = nights.new if made else nights.old
        chosen = chosen.sample(frac=0.99, random_state=len(made))
        night = nights.night(chosen, rename_user=user_id)
        made.append(night.generation)
        nights.published(told(night), bounds=bounds)
    return Kept(nights, *(open_artifact(folder, name) for name in made))
