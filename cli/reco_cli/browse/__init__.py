"""Web pages of what is published, for a person: `reco browse`. They read, and change nothing.

`serving` listens on a port, `http_rules` decides which requests are answered, `site` maps addresses
to pages, `views` reads the store for each page, `comparison` marks the differences of two lists,
and the templates draw.
"""

__all__ = ["serving"]
