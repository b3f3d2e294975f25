"""The names of every column that the job reads or writes, in one place.

The input names are MovieLens's; the artifact's Parquet files use the same words.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
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


class Kind(StrEnum):
    """The kinds of input columns: each reads the types of a file in its own way."""

    ID = "id"
    STARS = "stars"
    TIME = "time"
    TITLE = "title"
    GENRES = "genres"


#: Columns of the two input files, in the order of the header that a refusal proposes.
RATINGS: Final[Mapping[str, Kind]] = {
    USER_ID: Kind.ID,
    MOVIE_ID: Kind.ID,
    RATING: Kind.STARS,
    TIMESTAMP: Kind.TIME,
}
MOVIES: Final[Mapping[str, Kind]] = {
    MOVIE_ID: Kind.ID,
    TITLE: Kind.TITLE,
    GENRES: Kind.GENRES,
}
#: Read where the file has them: times decide which of two equal ratings is kept, and the split by
#: time; genres are shown, and describe movies with few ratings.
OPTIONAL: Final = (TIMESTAMP, GENRES)

#: Names under which other systems export the same, without case and punctuation.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    USER_ID: (
        "userid user uid customer customerid client clientid member memberid account accountid "
        "visitor visitorid reviewer reviewerid person personid buyer buyerid subscriber "
        "subscriberid session sessionid username"
    ),
    MOVIE_ID: (
        "movieid movie mid item itemid iid film filmid product productid article articleid sku "
        "asin parentasin isbn book bookid track trackid song songid content contentid offer "
        "offerid anime animeid app appid game gameid stockcode show showid video videoid business "
        "businessid"
    ),
    RATING: (
        "rating ratings stars star score value bookrating overall grade points rate userrating "
        "reviewscore"
    ),
    TIMESTAMP: (
        "timestamp time ts date datetime createdat created updatedat eventtime when "
        "unixreviewtime reviewtime ratedat timestampms purchasedate orderdate invoicedate unixtime"
    ),
    TITLE: "title name movietitle itemname itemtitle productname booktitle producttitle filmtitle",
    GENRES: "genres genre category categories tags tag genrenames",
}
#: Names of the row index that pandas writes as a further column; it carries no data.
_INDEX: Final = re.compile(r"|unnamed: \d+|__index_level_\d+__|index")


def is_index(name: str) -> bool:
    """Return whether a column holds the row numbers of the program that wrote the file."""
    return _INDEX.fullmatch(name.strip().lower()) is not None


def matched(found: Sequence[str], wanted: Sequence[str]) -> dict[str, list[int]]:
    """Return where each wanted column is, by its name without case and surrounding blanks.

    Args:
        found: names of a file's columns.
        wanted: names of columns that are read.

    Returns:
        Positions by wanted name, several where the file has it several times; none for those that
        the file lacks.
    """
    plain = [name.strip(" \t\ufeff").lower() for name in found]
    places = {name: [i for i, one in enumerate(plain) if one == name.lower()] for name in wanted}
    return {name: at for name, at in places.items() if at}


def guessed(found: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return which of a file's columns probably is which of the wanted ones.

    Args:
        found: names of columns that are not known.
        wanted: names of columns that the file lacks.

    Returns:
        The wanted name by the name found, at most one for each.
    """
    guesses: dict[str, str] = {}
    for name in wanted:
        usual = _OTHER_NAMES[name].split()
        ranked = {re.sub(r"[\W_]", "", one).lower(): one for one in reversed(found)}
        fitting = [ranked[word] for word in usual if word in ranked]
        if fitting and fitting[0] not in guesses:
            guesses[fitting[0]] = name
    return guesses
