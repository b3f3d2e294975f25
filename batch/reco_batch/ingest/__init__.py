"""Ingest: files and queries become checked tables (formats, headers, conversions, bad rows).

`sources` finds a folder, a named data set or an address, `formats` is the room of file formats,
`tables` has the columns and their names, `readers` reads the files, and `validate` turns the tables
into a `Dataset` or refuses them with file and line. `events` adds up the events of a user and an
item. `check` is the room of `batch check-data`.
"""

__all__ = ["bad_rows", "events", "forgotten", "readers", "sources", "table_reader", "validate"]
