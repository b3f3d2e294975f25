"""Terminal conventions that `batch` and `reco` share: streams, exit codes, help, metrics, texts."""

__all__ = ["console", "metrics", "plain_help", "wording"]
