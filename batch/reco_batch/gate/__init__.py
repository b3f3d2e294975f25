"""Quality gate: the verdict on a staged generation before it goes live.

`judge` makes the verdict; the other modules contribute checks of the input, lists, metrics,
explanations and churn. A check is data (`artifact.check`): a value, a threshold, a result.
"""

__all__ = ["input_checks", "judge"]
