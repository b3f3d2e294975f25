"""Deletes the artifacts that no command will ask for again."""

import shutil
from collections.abc import Set
from datetime import datetime, timedelta
from pathlib import Path

from reco_batch.artifact import complete_generations, open_artifact
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

    That is, of this namespace's complete artifacts, all but the newest `keep` and the live one's;
    and the incomplete ones that nobody knows of, once no run can still be at work on them. Those
    of unfinished nights belong to whoever resumes them.
    """
    complete = complete_generations(artifacts)
    own = [g for g in complete if _namespace(artifacts, g) == namespace]
    for generation in own[:-keep]:
        if generation != live:
            shutil.rmtree(artifacts / generation)
    for name in {path.name for path in artifacts.iterdir()} - set(complete) - unfinished:
        if is_generation_id(name) and now - parse_generation_id(name) > _LONGEST_RUN:
            shutil.rmtree(artifacts / name)


def _namespace(artifacts: Path, generation: str) -> str | None:
    try:
        manifest = open_artifact(artifacts, generation).manifest
    except NightFailed:  # damaged: for a person to look at
        return None
    return str(manifest.get("parameters", {}).get("namespace"))
