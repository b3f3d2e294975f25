"""A training that is stopped after some epochs, as a kill would."""


class Stopped(Exception):
    """In place of a kill."""


class StoppingStage:
    """Stops a training after some epochs."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int) -> None:
        """Count down."""
        self.left -= steps

    def note(self, _: str) -> None:
        """Stop; called when an epoch's checkpoint is still to be written."""
        if self.left < 0:
            raise Stopped

    def record_loss(self, epoch: int, loss: float) -> None:
        """Keep nothing."""
