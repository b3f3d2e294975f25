"""Input files become checked tables: formats, headers, conversions, bad rows.

`sources` finds the files of a folder, a data set's name or an address; `readers` reads them;
`validate` turns the tables into a `Dataset` or reports what is wrong, with file and line.
"""

__all__ = ["bad_rows", "sources", "validate"]
