"""Choice of the reporter for a run."""

import sys

from reco_batch.progress.json_log import JsonReporter, Log
from reco_batch.progress.live_bars import LiveReporter
from reco_batch.progress.reporter import PlainReporter, QuietReporter, Reporter


def choose_reporter(*, quiet: bool, log: Log | None = None) -> Reporter:
    """Return the reporter that suits standard error: a terminal, a file, or a JSON log.

    Args:
        quiet: show warnings only.
        log: JSON log that replaces the lines for people; None for no log.
    """
    if log is not None:
        return JsonReporter(log, quiet=quiet)
    if quiet:
        return QuietReporter()
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()
