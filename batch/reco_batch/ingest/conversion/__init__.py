"""Conversion of columns of any type into ids, numbers, times and tags.

`type_matrix` is the table of types, `converted_column` the result with its unusable values, `times`
finds the form of times, `tags` splits tags, and `item_columns` converts attributes of items.
"""

__all__ = ["converted_column", "item_columns", "tags", "times", "type_matrix"]
