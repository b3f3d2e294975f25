"""Column names of all tables that a run reads or writes.

The input has the names of MovieLens; the Parquet files of the artifact use the same names.
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

# Columns of the input that only `[input.columns]` names.
EVENT: Final = "event"
WEIGHT: Final = "weight"
RELEASED: Final = "released"
AVAILABLE: Final = "available"

# Columns of the artifact only.
MOVIE_IDS: Final = "movieIds"
SCORES: Final = "scores"
SUFFIX: Final = "suffix"
RATING_COUNT: Final = "ratingCount"
RATING_MEAN: Final = "ratingMean"
PART: Final = "part"
HELD_OUT: Final = "heldOut"
ELIGIBLE: Final = "eligible"
HISTORY: Final = "history"


def capped(place: int) -> str:
    """Return the column with the values that a cap of the rules counts.

    Args:
        place: of the cap in the rules, from 0.
    """
    return f"capped{place + 1}"


class Kind(StrEnum):
    """Kind of an input column, which decides how values of each type are converted."""

    ID = "id"
    STARS = "stars"
    TIME = "time"
    TITLE = "title"
    GENRES = "genres"
    FLAG = "flag"
    ATTRIBUTE = "attribute"


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
#: Columns that are read only if they are mapped.
MAPPED_RATINGS: Final[Mapping[str, Kind]] = {EVENT: Kind.ID, WEIGHT: Kind.STARS}
MAPPED_MOVIES: Final[Mapping[str, Kind]] = {RELEASED: Kind.TIME, AVAILABLE: Kind.FLAG}
#: Kinds of the columns in which a value may be missing, besides the release time of a movie.
MAY_LACK: Final = (Kind.FLAG, Kind.ATTRIBUTE)
#: Optional columns. Times decide which of two equal ratings is kept, and the split by time; genres
#: are shown, and are features of movies with few ratings.
OPTIONAL: Final = (TIMESTAMP, GENRES)

#: Names of the same columns in other systems, in lower case without punctuation.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    USER_ID: (
        "userid user uid customer customerid client clientid member memberid account accountid "
        "visitor visitorid reviewer reviewerid person personid buyer buyerid subscriber "
        "subscriberid session sessionid username email mail useremail customeremail"
    ),
    MOVIE_ID: (
        "movieid movie mid item itemid iid film filmid product productid article articleid sku "
        "asin parentasin isbn isbn13 isbn10 ean book bookid track trackid song songid "
        "content contentid offer offerid anime animeid app appid game gameid stockcode show showid "
        "video videoid business businessid"
    ),
    RATING: (
        "rating ratings stars star score value bookrating overall grade points rate userrating "
        "reviewscore"
    ),
    TIMESTAMP: (
        "timestamp time ts date datetime createdat created updatedat eventtime when "
        "unixreviewtime reviewtime ratedat timestampms purchasedate orderdate invoicedate unixtime "
        "purchasedat orderedat boughtat soldat"
    ),
    TITLE: "title name movietitle itemname itemtitle productname booktitle producttitle filmtitle",
    GENRES: "genres genre category categories tags tag genrenames",
    EVENT: "event eventtype eventname kind action interaction behavior behaviour activity",
    WEIGHT: "weight",
    RELEASED: (
        "released releasedate releasedat launchedat launchdate publishedat publicationdate "
        "availablefrom introducedat"
    ),
    AVAILABLE: "available isavailable active isactive instock enabled published",
}
#: Usual names of flags of items that are no longer available.
_UNAVAILABLE: Final = (
    "discontinued isdiscontinued discontinuedat deleted isdeleted deletedat archived archivedat "
    "hidden soldout"
)
#: Names of the row index that pandas writes as a further column without data.
_INDEX: Final = re.compile(r"|unnamed: \d+|__index_level_\d+__|index")


def is_index(name: str) -> bool:
    """Return whether a column holds the row numbers of the program that wrote the file."""
    return _INDEX.fullmatch(name.strip().lower()) is not None


def plain(name: str) -> str:
    """Return a column name without surrounding blanks and a byte order mark."""
    return name.strip(" \t\ufeff")


def matched(found: Sequence[str], wanted: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of wanted columns, ignoring case and surrounding blanks.

    Args:
        found: column names of a file.
        wanted: names of the columns to read.

    Returns:
        Wanted name -> positions, several if the name occurs several times. Names that the file
        lacks are left out.
    """
    names = [plain(name).lower() for name in found]
    positions = {
        name: [i for i, one in enumerate(names) if one == plain(name).lower()] for name in wanted
    }
    return {name: at for name, at in positions.items() if at}


def guessed(found: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Guess which columns of a file are the wanted ones under other names.

    Args:
        found: unknown column names of the file.
        wanted: names of columns that the file lacks.

    Returns:
        Found name -> wanted name, at most one for each.
    """
    guesses: dict[str, str] = {}
    for name in wanted:
        usual = _OTHER_NAMES[name].split()
        ranked = {re.sub(r"[\W_]", "", one).lower(): one for one in reversed(found)}
        fitting = [ranked[word] for word in usual if word in ranked]
        if fitting and fitting[0] not in guesses:
            guesses[fitting[0]] = name
    return guesses


def guessed_unavailable(found: Sequence[str]) -> str | None:
    """Return the column that probably marks items as no longer available."""
    usual = _UNAVAILABLE.split()
    return next((one for one in found if re.sub(r"[\W_]", "", one).lower() in usual), None)
