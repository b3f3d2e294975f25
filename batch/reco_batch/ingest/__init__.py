"""Ingest: input files become checked tables (formats, headers, conversions, bad rows).

`sources` finds a folder, a named data set or an address, `formats` is the room of file formats,
`readers` reads the files, and `validate` turns the tables into a `Dataset` or refuses them with
file and line.
"""

__all__ = ["bad_rows", "forgotten", "sources", "validate"]
