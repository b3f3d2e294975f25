"""What `batch diff` prints: columns on a terminal, lines with tabs in a pipe, or one JSON object.

In a pipe the first field says what a line is about:

    night    before|after, generation
    figure   name, value
    rose     movie id, users before, users now, title: stands in more first tens than before
    fell     the same: stands in fewer
    user     user id, overlap@10, rank-biased overlap: those whose lists changed most
    place    movie id, place before, place now, title: with --user; empty where there is none
"""

import json
import sys
from collections.abc import Iterator, Sequence

from reco_batch.evaluation.generation_diff import DEPTH, PERSISTENCE
from reco_batch.evaluation.list_diff import Difference, MovieMove, UserDifference
from reco_batch.progress.terminal import fit_to_terminal, table
from reco_terminal.console import printable

Found = Difference | UserDifference
_RBO = f"rank-biased overlap (p = {PERSISTENCE})"


def page(found: Found) -> str:
    """Return a comparison as it suits where standard output goes."""
    if not sys.stdout.isatty():
        return "\n".join("\t".join(line) for line in _lines(found))
    blocks = _of_user(found) if isinstance(found, UserDifference) else _of_nights(found)
    return "\n\n".join(blocks)


def json_text(found: Found) -> str:
    """Return a comparison as one JSON object; a figure that nobody can have is null."""
    kinds = {"rose", "fell", "most_changed", "places"}
    fields = {
        name: [row._asdict() for row in value] if name in kinds else value
        for name, value in found._asdict().items()
    }
    about = {"schema": 1, "command": "diff", "rbo_p": PERSISTENCE, "rbo_depth": DEPTH}
    return json.dumps(about | fields)


def _lines(found: Found) -> Iterator[Sequence[str]]:
    yield "night", "before", found.before
    yield "night", "after", found.after
    for name, value in _figures(found).items():
        yield "figure", name, _plain(value)
    if isinstance(found, UserDifference):
        for movie, title, before, after in found.places:
            yield "place", printable(movie), _plain(before), _plain(after), printable(title)
        return
    for kind, moves in (("rose", found.rose), ("fell", found.fell)):
        for move in moves:
            counts = str(move.before), str(move.after)
            yield kind, printable(move.movie_id), *counts, printable(move.title)
    for user in found.most_changed:
        yield "user", printable(user.user_id), _plain(user.overlap), _plain(user.rbo)


def _figures(found: Found) -> dict[str, float | None]:
    figures: dict[str, float | None] = {"overlap@10": found.overlap, "rbo": found.rbo}
    if isinstance(found, Difference):
        figures |= {
            "users": found.users,
            "new users": found.new_users,
            "gone users": found.gone_users,
            "unchanged users": found.unchanged,
            "new movies": found.new_movies,
            "gone movies": found.gone_movies,
            "entered movies": found.entered,
            "left movies": found.left,
        }
    return figures


def _of_nights(found: Difference) -> Iterator[str]:
    said = [
        f"before    {found.before}",
        f"after     {found.after}",
        (f"users     {found.users:,} in both, {found.new_users:,} new, {found.gone_users:,} gone"),
    ]
    if found.overlap is not None:
        said += [
            (
                f"first 10  {_percent(found.overlap)} of it stays on average; "
                f"{found.unchanged:,} users keep all of it"
            ),
            f"alike     {_percent(found.rbo)} {_RBO}",
        ]
    said.append(
        f"movies    {found.entered:,} entered somebody's first ten, {found.left:,} left "
        f"everybody's; of the catalogue {found.new_movies:,} are new, {found.gone_movies:,} gone"
    )
    yield fit_to_terminal("\n".join(said))
    for title, moves in (("more users see", found.rose), ("fewer users see", found.fell)):
        if moves:
            yield table(("before", "now", title), [_move(move) for move in moves])
    if found.most_changed:
        yield table(
            ("stays", "alike", "users whose lists changed most"),
            [
                (_percent(user.overlap), _percent(user.rbo), printable(user.user_id))
                for user in found.most_changed
            ],
        )


def _of_user(found: UserDifference) -> Iterator[str]:
    said = [
        f"before    {found.before}",
        f"after     {found.after}",
        f"user      {printable(found.user_id)}",
    ]
    if found.overlap is not None:
        said.append(f"first 10  {_percent(found.overlap)} of it stays")
    if found.rbo is not None:
        said.append(f"alike     {_percent(found.rbo)} {_RBO}")
    yield fit_to_terminal("\n".join(said))
    if found.places:
        yield table(
            ("before", "now", "movie"),
            [
                (_place(before), _place(after), printable(title))
                for _, title, before, after in found.places
            ],
        )


def _move(move: MovieMove) -> tuple[str, str, str]:
    return f"{move.before:,}", f"{move.after:,}", printable(move.title)


def _place(place: int | None) -> str:
    return "" if place is None else str(place)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
