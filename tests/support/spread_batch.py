"""Runs `batch` with small models, and on Ray with small shards that halt on one machine.

A program, not a module. The workers import `halting_catalogues`.
"""

from functools import partial

import reco_batch
from halting_catalogues import HaltingCatalogue
from killing_catalogues import SHARD
from reco_batch.scoring import ray_engine
from small_models import use_small_models


def halting_score(self, catalogue, rows):
    """Score with a catalogue that halts."""
    return score(self, HaltingCatalogue(catalogue), rows)


score, ray_engine.RayEngine.score = ray_engine.RayEngine.score, halting_score
ray_engine.open_ray = partial(ray_engine.open_ray, shard_rows=SHARD)
use_small_models()
reco_batch.main()
