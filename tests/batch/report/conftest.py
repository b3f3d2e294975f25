"""Three nights that follow each other, published by the job with their reports."""

import pytest

from real_servers import running_server
from told_nights import Kept, keep_nights


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Kept:
    """Two nights that were served, and one that was refused."""
    with running_server() as url:
        return keep_nights(url, tmp_path_factory.mktemp("told"))
