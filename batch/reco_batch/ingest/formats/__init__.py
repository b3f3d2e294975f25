"""File formats: every input file behind one class, `TableFile`, and one table of formats.

`registry` contains a record for each format, with its reader and its writer. `access` refuses paths
that cannot be read; `csv_form`, `csv_file` and `csv_diagnosis` are the CSV reader.
"""

__all__ = ["access", "csv_diagnosis", "registry", "table_file"]
