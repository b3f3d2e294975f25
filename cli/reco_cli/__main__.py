"""`python -m reco_cli` is `reco`."""

from reco_cli import main

main()
