"""Refresh: new ratings, the models of the live generation; a whole generation, without training.

The input is read and checked as by a run. Users whose history differs from the one in the artifact
of the live generation are folded in with the models that are stored there, and their lists are
computed; the lists of all others are copied. Popular lists and cards are computed again. If the
catalogue or the rules decide other lists, all lists are computed.

No error accumulates: a list is copied as it was, or computed from the stored models and the present
ratings. A user whose ratings changed and changed back keeps a folded-in list until the next run.

Needs no TensorFlow. Whatever fails, readers keep the current generation.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from reco_batch.artifact.folder import Artifact, open_artifact, write_manifest
from reco_batch.artifact.manifests import (
    MANIFEST,
    has_stars,
    section,
    trained_by,
)
from reco_batch.artifact.stored_models import (
    STORED_MODELS,
    STORED_RATING,
    STORED_RETRIEVAL,
    digests_of,
    stored_rating,
    stored_retrieval,
)
from reco_batch.artifact.unfinished import written_at_once
from reco_batch.artifact.writer import KeepingWriter
from reco_batch.data.dataset import Dataset, Ratings
from reco_batch.errors import NightFailed
from reco_batch.ingest.bad_rows import REJECTED, write_rejected
from reco_batch.models.rating.stored_rating import StoredRating
from reco_batch.night.look_back import look_back
from reco_batch.night.preflight import preflight
from reco_batch.night.publish_stage import publish_artifact
from reco_batch.night.run import (
    Night,
    delete_remains,
    disk_errors,
    end_night,
    folders_of,
    name_generation,
    read_input,
    require_store,
    scoring_engine,
)
from reco_batch.night.run_manifest import (
    GIVEN_THRESHOLD,
    LISTS_FROM,
    catalogue_fields,
    iso,
    lists_fingerprint,
    parameters_of,
    sizes_of,
    threshold_of,
)
from reco_batch.night.write_lists import Lists
from reco_batch.progress.reporter import Reporter
from reco_batch.rules.compiled import CompiledRules, compiled
from reco_batch.scoring.engine import Engine
from reco_batch.settings.run_config import RunConfig, RunKeys
from reco_batch.settings.setting_metadata import Panel, panel_of
from reco_store import Keys, RunLock, store_errors
from reco_store.connection.client import Client
from reco_store.contract.digest import Digest
from reco_store.contract.families import LISTS
from reco_store.contract.manifest import REFRESH
from reco_store.contract.words import WORDS
from reco_store.control.generation_registry import Control, read_control
from reco_store.control.rights import require_rights
from reco_store.prefetch import prefetch

#: Fields of `data` that describe the split of the run that trained.
_OF_SPLIT: Final = (
    *("held_out_after", "train", "validation", "test", "test_users", "cold", "cold_users"),
)
#: Fields of the manifest that describe the run that trained.
_OF_TRAINING: Final = ("schema", "metrics", "losses", "versions")
#: Fields of the manifest that readers use, besides the values.
_READ: Final = ("ids", "rating_scale", "stand_in", WORDS, "genres")


class NothingPublished(NamedTuple):
    """Outcome of a refresh that left everything as it was."""

    live: str
    """Generation that stays live."""
    waiting: str | None = None
    """Trained generation that waits for its promotion, which a refresh would replace; None if no
    list, card or history differs."""


def run_refresh(
    config: RunConfig,
    lock: RunLock,
    *,
    reporter: Reporter,
    switch: bool = True,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Night | NothingPublished:
    """Refresh the live generation, from reading the input to publishing.

    Args:
        config: configuration; the models and the form of the lists are those of the live
            generation.
        lock: lock of the namespace, not yet acquired.
        reporter: shows the stages.
        switch: switch readers to the new generation; False leaves it staged, for a promotion.
        now: returns the current time, which names the generation.

    Returns:
        The refresh, or what stays live if nothing has changed or, without a reason to overrule,
        another trained generation waits.

    Raises:
        NightFailed: the live generation cannot be refreshed, or the disk failed.
        LockHeld, DataRefused, InputRefused, StoreError: as `run_night`; nothing was switched.
    """
    client = lock.client
    require_rights(client, lock.keys)
    with scoring_engine(config) as engine, lock:
        require_store(config, client)
        started = now()
        control = _control(client, lock.keys)
        waiting = _waiting(control)
        if waiting is not None and config.force is None:
            return NothingPublished(str(control.live), waiting)
        live = _live_artifact(config, str(control.live), reporter)
        config = _as_live(config, live)
        dataset = read_input(config, reporter, now=started)
        rules = compiled(config.rules, dataset)
        for note in rules.notes:
            reporter.report_finding(note)
        delete_remains(config)
        work = _Work(config, dataset, rules, engine, live, reporter)
        preflight(
            config,
            client,
            dataset,
            manifest=work.made_of(started),
            reporter=reporter,
            copied_models=sum(file.stat().st_size for file in live.folder.glob("models/*.npz")),
        )
        generation = name_generation(config, client, lock.keys, started=started, reporter=reporter)
        folder = config.artifacts / generation
        with disk_errors(folder), written_at_once(folders_of(config).of_refreshes, generation):
            artifact = work.artifact(folder, started)
            if _is_same(artifact, live):
                return NothingPublished(live.generation)  # without a manifest the folder is deleted
            past = look_back(
                live.manifest,
                dataset,
                client=client,
                keys=lock.keys,
                artifacts=config.artifacts,
                reporter=reporter,
            )
            times = {"began": dict(reporter.began), "seconds": dict(reporter.seconds)}
            artifact = artifact.with_manifest({**artifact.manifest, **times, **past})
            write_manifest(folder, artifact.manifest)
        reporter.set_generation(generation)
        published = publish_artifact(
            artifact,
            client,
            lock,
            keep=config.keep,
            replicas=config.replicas,
            bounds=config.bounds,
            force=config.force,
            switch=switch,
            reporter=reporter,
        )
    before = end_night(config, lock, artifact, published, now=now(), reporter=reporter)
    return Night(artifact, published, dataset.user_ids, before)


def _control(client: Client, keys: Keys) -> Control:
    """Return the state of the namespace.

    Raises:
        NightFailed: nothing is live.
    """
    with store_errors(client):
        control = read_control(client, keys)
    if control.live is None:
        raise NightFailed("nothing is live, so nothing can be refreshed. Run `batch run`.")
    return control


def _waiting(control: Control) -> str | None:
    """Return the newest generation of a run that waits for its promotion; None without one."""
    own = (one for one in control.records if control.is_waiting(one) and not one.trained_by)
    return next((record.id for record in own), None)


def _live_artifact(config: RunConfig, live: str, reporter: Reporter) -> Artifact:
    """Return the artifact of the live generation, whole and with its stored models.

    Raises:
        NightFailed: there is none on this machine, or it cannot be refreshed.
    """
    if not (config.artifacts / live / MANIFEST).exists():
        raise NightFailed(
            f"{live} is live, and its artifact is not in {config.artifacts}. Refresh on the "
            "machine that published it, or run `batch run`."
        )
    artifact = open_artifact(config.artifacts, live)
    stored = artifact.manifest.get(STORED_MODELS)
    if stored is None:
        raise NightFailed(
            f"{live} is of a version that stored no models for refreshes. Run `batch run`."
        )
    wanted = {STORED_RETRIEVAL, *([STORED_RATING] if has_stars(artifact.manifest) else [])}
    if not wanted <= set(stored):
        preset = section(artifact.manifest, "parameters").get("preset")
        raise NightFailed(
            f"{live} is of the preset {preset!r}, whose models learn a vector for each user and "
            "cannot be refreshed; expected 'default'. Run `batch run`."
        )
    with reporter.stage("check the live generation"):
        _require_whole(artifact)
    return artifact


def _require_whole(artifact: Artifact) -> None:
    """Compare all values of an artifact with its digest, since most of them will be copied."""
    digest = Digest()
    for chunk in prefetch(artifact.entry_chunks()):
        digest.update_many(chunk)
    if digest.value() != artifact.manifest["digest"]:
        raise NightFailed(
            f"the lists in {artifact.folder} are not those that were published; expected the "
            "digest of its manifest. If `batch forget` was interrupted, repeat it. Otherwise run "
            "`batch run`."
        )


def _as_live(config: RunConfig, live: Artifact) -> RunConfig:
    """Return the configuration with the options for models and lists that the live run had."""
    parameters = section(live.manifest, "parameters")
    kept = {
        name: parameters[name]
        for name, field in RunKeys.model_fields.items()
        if panel_of(field) in (Panel.MODEL, Panel.OUTPUT) and name in parameters
    }
    # Under its own name the manifest has the one in effect, which may follow from the ratings.
    kept["rating_threshold"] = parameters.get(GIVEN_THRESHOLD)
    given = {name: getattr(config, name) for name in RunConfig.model_fields}
    try:
        return RunConfig(**{**given, **kept})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        raise NightFailed(
            f"{live.generation} was made by another version, whose {field} is {kept.get(field)!r}. "
            "Run `batch run`."
        ) from error


def _is_same(artifact: Artifact, live: Artifact) -> bool:
    """Return whether readers would see no difference."""
    now, before = artifact.manifest, live.manifest
    return all(now.get(name) == before.get(name) for name in ("digest", *_READ))


class _Changes(NamedTuple):
    """Lists that are to be computed."""

    users: NDArray[np.int64]
    """Users to fold in, as indices."""
    all_lists: bool
    """True if the catalogue or the rules decide other lists."""


class _Work(NamedTuple):
    """Input of a refresh."""

    config: RunConfig
    dataset: Dataset
    rules: CompiledRules
    engine: Engine
    live: Artifact
    reporter: Reporter

    def made_of(self, started: datetime) -> dict[str, Any]:
        """Return the fields of the manifest that depend on the input."""
        dataset, data = self.dataset, section(self.live.manifest, "data")
        return {
            "created": iso(started),
            "ids": "integer" if dataset.movies.catalogue.numeric_ids else "string",
            "data": {
                **sizes_of(dataset, self.rules.eligible),
                **{name: data[name] for name in _OF_SPLIT if name in data},
                "findings": list(dataset.findings.describe()),
            },
        }

    def artifact(self, folder: Path, started: datetime) -> Artifact:
        """Write the artifact, except for its manifest.

        Raises:
            OSError: the disk is full or the folder cannot be written.
            NightFailed: a file of the live generation's artifact is damaged.
        """
        movies = self.dataset.movies
        writer = KeepingWriter(folder, movies.catalogue, self.live)
        rating = stored_rating(self.live).arranged(movies.ids) if self.dataset.has_stars else None
        with threadpool_limits(1, "blas"):  # as in a run, so that the bits are the same
            lists = Lists(
                writer,
                self.dataset,
                self.config,
                rules=self.rules,
                engine=self.engine,
                trained_counts=None if rating is None else rating.counts[: movies.listed],
            )
            changes = self._changes(lists, writer)
            self._write_lists(lists, writer, changes, rating)
        writer.models.mkdir()
        for name in section(self.live.manifest, STORED_MODELS):
            shutil.copyfile(self.live.folder / "models" / name, writer.models / name)
        if self.dataset.findings.rejected:
            write_rejected(folder / REJECTED, self.dataset.findings.rejected)
        with self.reporter.stage("finish the artifact"):
            return writer.summarized(self._manifest(writer, started, changes))

    def _changes(self, lists: Lists, writer: KeepingWriter) -> _Changes:
        """Compare histories, catalogue and rules with those of the live generation."""
        users, config = self.dataset.user_ids, self.config
        with self.reporter.stage("compare histories") as stage:
            digests = lists.history_digests()
            before = self.live.history_digests()
            lists_from = lists_fingerprint(config, self.dataset, self.rules)
            all_lists = lists_from != self.live.manifest.get(LISTS_FROM)
            same = [
                not all_lists and before.get(user) == digest
                for user, digest in zip(users, digests, strict=True)
            ]
            writer.write_histories(users, digests)
            writer.keep([user for user, is_same in zip(users, same, strict=True) if is_same])
            changed = np.flatnonzero(~np.array(same, bool))
            stage.note(f"{len(changed):,} of {len(users):,} users")
        return _Changes(changed, all_lists)

    def _write_lists(
        self, lists: Lists, writer: KeepingWriter, changes: _Changes, rating: StoredRating | None
    ) -> None:
        """Write all lists, the files of unchanged ones as copies."""
        with self.reporter.stage("popular lists and cards") as stage:
            lists.popular_and_cards(stage)
        model = stored_retrieval(self.live).arranged(self.dataset.movies.ids)
        some, stage_of = lists.of_users(changes.users), self.reporter.stage
        ratings = self._ratings_of(changes.users)
        users = [self.dataset.user_ids[user] for user in changes.users]
        with stage_of("fold in users"):
            retrieval = model.with_users(ratings, users)
        some.seen()
        with stage_of("score user lists", total=len(users)) as stage:
            some.user(stage, retrieval)
        if rating is not None:
            with stage_of("score ranked lists", total=len(users)) as stage:
                some.ranked(stage, rating.with_users(ratings, user_count=len(users)), retrieval)
        else:
            some.no_ranked()
        if not changes.all_lists:
            for family in LISTS:
                if family.per == "movie":
                    shutil.copyfile(self.live.folder / family.file, writer.lists(family))
            return
        with stage_of("score similar lists", total=len(model.movie_ids)) as stage:
            lists.similar(stage, retrieval)
        with stage_of("score next lists", total=len(model.movie_ids)) as stage:
            lists.next(stage, retrieval)

    def _ratings_of(self, users: NDArray[np.int64]) -> Ratings:
        """Return the ratings of some users, numbered in their order."""
        ratings = self.dataset.ratings
        number = np.full(len(self.dataset.user_ids), -1, np.int32)
        number[users] = np.arange(len(users), dtype=np.int32)
        own = ratings.take(np.flatnonzero(number[ratings.user_index] >= 0))
        return replace(own, user_index=number[own.user_index])

    def _manifest(
        self, writer: KeepingWriter, started: datetime, changes: _Changes
    ) -> dict[str, Any]:
        """Return the manifest, without the fields that the artifact writer adds."""
        live, config = self.live.manifest, self.config
        stored = digests_of(writer.models)
        if stored != section(live, STORED_MODELS):
            raise NightFailed(
                f"the stored models in {self.live.folder} are damaged. Run `batch run`."
            )
        return {
            **{name: live[name] for name in _OF_TRAINING if name in live},
            "generation": writer.folder.name,
            **catalogue_fields(config, self.dataset),
            **self.made_of(started),
            "parameters": {
                **parameters_of(config),
                "models": section(live, "parameters").get("models"),
                **threshold_of(config, self.dataset),
            },
            REFRESH: {
                "of": self.live.generation,
                "trained_by": trained_by(live),
                "users": len(changes.users),
                "all_lists": changes.all_lists,
            },
            STORED_MODELS: stored,
            LISTS_FROM: lists_fingerprint(config, self.dataset, self.rules),
            "began": dict(self.reporter.began),
            "seconds": dict(self.reporter.seconds),
            "gate": None,
        }
