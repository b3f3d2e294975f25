"""Rules for lists: which movies they show, in which places, and which return.

`compiled` turns the table [rules] and the movies' attributes into arrays. Scoring applies them to
the scores of a tile (`ListRules.adjust`) and to its best candidates (`reordered`), so every list is
exact and full. Everything is a pure function of arrays.
"""

__all__ = ["compiled", "list_rules", "reordered", "repeats"]
