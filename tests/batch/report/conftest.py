"""Three consecutive runs, published by the job with their reports."""

import pytest

from hostile_runs import Kept, keep_nights
from real_servers import running_server


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Kept:
    """Two live runs and a refused one."""
    with running_server() as url:
        return keep_nights(url, tmp_path_factory.mktemp("kept"))
