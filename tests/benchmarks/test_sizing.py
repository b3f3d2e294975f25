"""The sizing tables of docs/operations.md are the script's output."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_the_scripts():
    """Every line that the script prints is on the page."""
    spec = importlib.util.spec_from_file_location("sizing", ROOT / "benchmarks" / "sizing.py")
    sizing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sizing)

    guide = ROOT.joinpath("docs/operations.md").read_text("utf-8")
    assert "\n".join(sizing.table()) in guide
    assert "\n".join(sizing.table_of_a_user()) in guide
