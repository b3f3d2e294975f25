"""File formats: every input file behind one class, `TableFile`, and one table of formats.

`registry` contains a record for each format, with its reader and its writer. `path_checks` refuses
paths that cannot be read; `csv_form`, `csv_file` and `csv_diagnosis` are the CSV reader,
`json_file` is that of JSON Lines, and `sql_table` that of databases. `storage` opens files of
object stores.
"""

__all__ = ["csv_diagnosis", "path_checks", "registry", "sql_table", "storage", "table_file"]
