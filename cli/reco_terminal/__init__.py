"""Terminal conventions that `batch` and `reco` share: streams, exit codes, help, number formats."""

__all__ = ["console", "plain_help", "wording"]
