"""The names of every column that the job reads or writes, in one place.

The input names are MovieLens's; the artifact's Parquet files use the same words.
"""

from typing import Final

USER_ID: Final = "userId"
MOVIE_ID: Final = "movieId"
RATING: Final = "rating"
TIMESTAMP: Final = "timestamp"
TITLE: Final = "title"
GENRES: Final = "genres"
YEAR: Final = "year"

#: Of the artifact only.
MOVIE_IDS: Final = "movieIds"
SCORES: Final = "scores"
SUFFIX: Final = "suffix"
RATING_COUNT: Final = "ratingCount"
RATING_MEAN: Final = "ratingMean"
PART: Final = "part"
HELD_OUT: Final = "heldOut"

#: What a ratings table must have, in the order in which it is checked.
RATINGS_REQUIRED: Final = (USER_ID, MOVIE_ID, RATING)
#: What a table of purchases or views has: these and no others, or a rating under another name would
#: be overlooked.
INTERACTIONS: Final = (USER_ID, MOVIE_ID, TIMESTAMP)
#: Read when it is there: it decides which of two equal ratings is kept, and the split by time.
RATINGS_OPTIONAL: Final = (TIMESTAMP,)
MOVIES_REQUIRED: Final = (MOVIE_ID, TITLE, GENRES)
