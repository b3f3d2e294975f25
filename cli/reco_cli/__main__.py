"""Entry point: `python -m reco_cli` runs `reco`."""

from reco_cli import main

main()
