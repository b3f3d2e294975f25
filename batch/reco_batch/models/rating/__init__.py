"""Models that predict a rating: an MLP, SVD++ with item features, ridge regression, an ensemble."""

__all__ = ["ensemble", "mlp"]
