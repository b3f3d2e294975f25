"""The choice of a reporter for a run."""

import sys

from reco_batch.progress.json_log import JsonReporter, Log
from reco_batch.progress.live import LiveReporter
from reco_batch.progress.reporter import PlainReporter, QuietReporter, Reporter


def choose_reporter(*, quiet: bool, log: Log | None = None) -> Reporter:
    """Return the reporter that suits where standard error goes.

    Args:
        quiet: nothing shall be shown of what goes as it should.
        log: of lines for machines, which take the place of those for people; None: none.
    """
    if log is not None:
        return JsonReporter(log, quiet=quiet)
    if quiet:
        return QuietReporter()
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()
