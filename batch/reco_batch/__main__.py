"""Entry point: `python -m reco_batch` runs `batch`."""

from reco_batch import main

main()
