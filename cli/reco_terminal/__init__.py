"""Terminal conventions that `batch` and `reco` share: streams, exit codes, help, texts."""

__all__ = ["ages", "console", "plain_help", "wording"]
