"""Client of the conformance kit with the Python reader: one request a line, one answer a line.

usage: REDIS_URL=redis://... conformance.py
"""

import json
import os
import sys
from typing import Any

from reco_store import Answer, ContractMismatch, DataLost, NothingPublished, Reader, UsageError

CHOICE = (
    "n",
    "exclude",
    "genres",
    "year_from",
    "year_to",
    "available",
    "available_missing",
    "why",
)


def found(reader: Reader, request: dict[str, Any]) -> dict[str, Any]:
    """Return the reader's answer to a request."""
    choice = {name: request[name] for name in CHOICE if name in request}
    if "recent" in request:
        choice["recent"] = dict(request["recent"])
    match request["verb"]:
        case "popular":
            return reader.popular(request["by"], request.get("genre"), **choice).to_dict()
        case "movie":
            movie = reader.movie(request["id"])
            return {"movie": None if movie is None else movie._asdict()}
        case "assign":
            return {"namespace": reader.assign(request["id"])}
        case "seen":
            return {"ids": list(reader.seen(request["id"]))}
        case "find_title":
            return {"ids": [movie.movie_id for movie in reader.find_title(request["title"])]}
        case verb:
            about = request["ratings" if verb == "for_ratings" else "id"]
            answer: Answer = getattr(reader, verb)(about, **choice)
            return answer.to_dict()


def answered(reader: Reader, request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request, or the name of its error."""
    try:
        return found(reader, request)
    except NothingPublished:
        return {"error": "nothing_published"}
    except DataLost:
        return {"error": "data_lost"}
    except UsageError:
        return {"error": "usage"}
    except ContractMismatch:
        return {"error": "unknown_contract"}


def main() -> None:
    """Answer requests until standard input ends."""
    readers: dict[str, Reader] = {}
    for line in sys.stdin:
        request = json.loads(line)
        namespace = request["namespace"]
        if namespace not in readers:
            readers[namespace] = Reader(os.environ["REDIS_URL"], namespace)
        print(json.dumps(answered(readers[namespace], request)), flush=True)


if __name__ == "__main__":
    main()
