"""Deletes the artifacts that no command will ask for again."""

import shutil
from collections.abc import Mapping, Set
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reco_batch.artifact import complete_generations, open_artifact
from reco_batch.checks import REFUSED
from reco_batch.errors import NightFailed
from reco_store.keys import is_generation_id, parse_generation_id

_LONGEST_RUN = timedelta(days=2)


def prune_artifacts(
    artifacts: Path,
    *,
    namespace: str,
    keep: int,
    live: str | None,
    unfinished: Set[str],
    now: datetime,
) -> None:
    """Delete what no command will ask for again.

    That is, of this namespace's complete artifacts, all but the newest `keep` and the live one's,
    those that the gate refused being counted apart, so that bad nights push no good one out; and
    the incomplete ones that nobody knows of, once no run can still be at work on them. Those of
    unfinished nights belong to whoever resumes them.
    """
    complete = complete_generations(artifacts)
    own: dict[bool, list[str]] = {True: [], False: []}
    for generation in complete:
        manifest = _manifest(artifacts, generation)
        if manifest.get("parameters", {}).get("namespace") == namespace:
            own[(manifest.get("gate") or {}).get("verdict") == REFUSED].append(generation)
    for generation in (*own[True][:-keep], *own[False][:-keep]):
        if generation != live:
            shutil.rmtree(artifacts / generation)
    for name in {path.name for path in artifacts.iterdir()} - set(complete) - unfinished:
        if is_generation_id(name) and now - parse_generation_id(name) > _LONGEST_RUN:
            shutil.rmtree(artifacts / name)


def _manifest(artifacts: Path, generation: str) -> Mapping[str, Any]:
    try:
        return open_artifact(artifacts, generation).manifest
    except NightFailed:  # damaged: for a person to look at
        return {}
