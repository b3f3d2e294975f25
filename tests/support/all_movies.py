"""Top-k accuracy among all movies."""

import numpy as np

from reco_batch.data.dataset import Histories
from reco_batch.evaluation.evaluate import TOP_K, AmongAll
from reco_batch.scoring.topk import top_k_blocks


def accuracy_among_all(embeddings, held_out, *, seen=None, ks=TOP_K):
    """Return the share of held-out ratings in the top-k of all movies, by the lists of the unseen.

    Args:
        embeddings: vectors of users and movies.
        held_out: ratings of unseen movies.
        seen: movies that the lists leave out; None: none.
        ks: cutoffs.
    """
    users, movies, _ = embeddings
    if seen is None:
        seen = Histories(np.zeros(len(users) + 1, np.int64), np.zeros(0, np.int32))
    among = AmongAll(held_out, seen, ks=ks)
    longest = min(max(ks), len(movies))
    blocks = top_k_blocks(users, movies, seen, k=longest, threads=2, block_rows=3, look=among.look)
    for _ in among.watched(blocks):
        pass
    return among.accuracy()
