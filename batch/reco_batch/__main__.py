"""`python -m reco_batch` is `batch`."""

from reco_batch import main

main()
