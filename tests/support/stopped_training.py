"""A training that stops after some epochs, as if it were killed."""


class Stopped(Exception):
    """Raised in place of a kill."""


class StoppingStage:
    """Progress stage that stops a training after some epochs."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int) -> None:
        """Count an epoch."""
        self.left -= steps

    def note(self, _: str) -> None:
        """Stop before an epoch's checkpoint is written."""
        if self.left < 0:
            raise Stopped

    def record_loss(self, epoch: int, loss: float) -> None:
        """Ignore the loss."""
