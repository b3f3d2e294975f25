"""Conversion of columns of any type into ids, numbers, times and tags.

`type_matrix` is the table of types, `converted_column` the result with its unusable values, `times`
finds the form of times, and `tags` splits tags.
"""

__all__ = ["converted_column", "tags", "type_matrix"]
