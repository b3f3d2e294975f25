"""What all tests share."""

from hypothesis import settings

# A busy machine makes a good example slow: no example may fail by the clock.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
