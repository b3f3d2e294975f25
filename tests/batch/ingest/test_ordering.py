"""Order of rows from a database: the same for every order in which they come."""

import numpy as np
import pandas as pd
import pytest

from reco_batch.ingest import ordering
from reco_batch.ingest.ordering import in_order


@pytest.mark.parametrize("bits", [63, 8])
def test_rows_in_any_order_give_the_same_frame(monkeypatch, bits):
    """The order is that of a plain sort by all columns, with ties and with missing values."""
    monkeypatch.setattr(ordering, "_BITS", bits)  # 8: keys that do not fit into a number
    monkeypatch.setattr(ordering, "_BLOCK", 7)
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "userId": rng.integers(0, 9, 300).astype(str),
            "movieId": rng.integers(0, 12, 300).astype(str),
            "rating": rng.choice([1.0, 2.0, 3.0], 300),
            "timestamp": rng.integers(0, 4, 300),
            "event": rng.choice(["view", "cart"], 300),
        }
    )
    wanted = frame.sort_values(list(frame), kind="stable").reset_index(drop=True)

    for seed in range(3):
        mixed = frame.sample(frac=1, random_state=seed)
        mixed = mixed.astype(dict.fromkeys(("userId", "movieId", "event"), "category"))
        found = in_order(mixed)
        assert (frame.loc[found.index, "rating"].to_numpy() == found["rating"]).all()
        plain = found.astype(dict.fromkeys(("userId", "movieId", "event"), str))
        pd.testing.assert_frame_equal(plain.reset_index(drop=True), wanted)
        assert list(found["userId"].cat.categories) == sorted(found["userId"].cat.categories)
