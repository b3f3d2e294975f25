"""Three consecutive runs, published by the job with their reports."""

import pytest

from real_servers import running_server
from told_nights import Kept, keep_nights


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Kept:
    """Two live runs and a refused one."""
    with running_server() as url:
        return keep_nights(url, tmp_path_factory.mktemp("told"))
