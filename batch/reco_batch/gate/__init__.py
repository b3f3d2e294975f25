"""The quality gate: is this generation fit to be served?

`verdict` judges a staged generation; the other modules contribute checks of lists, metrics,
explanations and churn. A check is data (`artifact.checks`): a value, a threshold, a result.
"""

__all__ = ["list_checks", "verdict"]
