"""Output of `batch diff`: columns on a terminal, tab-separated lines in a pipe, or a JSON object.

In a pipe the first field is the kind of the line:

    night    before|after, generation
    figure   name, value
    rose     movie id, users before, users now, title: in more top-10 lists than before
    fell     movie id, users before, users now, title: in fewer top-10 lists than before
    user     user id, overlap@10, rank-biased overlap: users whose lists changed most
    place    movie id, position before, position now, title: with --user; empty if not in the list
"""

import json
import sys
from collections.abc import Iterator, Sequence

from reco_batch.evaluation.generation_diff import DEPTH, PERSISTENCE
from reco_batch.evaluation.list_diff import Difference, MovieMove, UserDifference
from reco_batch.progress.terminal import fit_to_terminal, table
from reco_store.contract.words import Words
from reco_terminal.console import printable

Found = Difference | UserDifference
_RBO = f"rank-biased overlap (p = {PERSISTENCE})"


def page(found: Found, words: Words) -> str:
    """Return a comparison in the form that suits standard output, in the words of a catalogue."""
    if not sys.stdout.isatty():
        return "\n".join("\t".join(line) for line in _pipe_lines(found))
    blocks = (
        _user_blocks(found, words)
        if isinstance(found, UserDifference)
        else _run_blocks(found, words)
    )
    return "\n\n".join(blocks)


def json_text(found: Found) -> str:
    """Return a comparison as one JSON object; an undefined value is null."""
    kinds = {"rose", "fell", "most_changed", "places"}
    fields = {
        name: [row._asdict() for row in value] if name in kinds else value
        for name, value in found._asdict().items()
    }
    about = {"schema": 1, "command": "diff", "rbo_p": PERSISTENCE, "rbo_depth": DEPTH}
    return json.dumps(about | fields)


def _pipe_lines(found: Found) -> Iterator[Sequence[str]]:
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


def _run_blocks(found: Difference, words: Words) -> Iterator[str]:
    lines = [
        f"before      {found.before}",
        f"after       {found.after}",
        f"users       {found.users:,} in both, {found.new_users:,} new, {found.gone_users:,} gone",
    ]
    if found.overlap is not None:
        lines += [
            (
                f"overlap@10  {_percent(found.overlap)} on average; "
                f"{found.unchanged:,} users keep all ten {words.items}"
            ),
            f"rbo         {_percent(found.rbo)} {_RBO}",
        ]
    lines.append(
        f"{words.items:11} {found.entered:,} entered at least one top-10, {found.left:,} left all "
        f"of them; in the catalogue {found.new_movies:,} are new, {found.gone_movies:,} gone"
    )
    yield fit_to_terminal("\n".join(lines))
    for title, moves in (("more users see", found.rose), ("fewer users see", found.fell)):
        if moves:
            yield table(("before", "now", title), [_move(move) for move in moves])
    if found.most_changed:
        yield table(
            ("overlap@10", "rbo", "users whose lists changed most"),
            [
                (_percent(user.overlap), _percent(user.rbo), printable(user.user_id))
                for user in found.most_changed
            ],
        )


def _user_blocks(found: UserDifference, words: Words) -> Iterator[str]:
    lines = [
        f"before      {found.before}",
        f"after       {found.after}",
        f"user        {printable(found.user_id)}",
    ]
    if found.overlap is not None:
        lines.append(f"overlap@10  {_percent(found.overlap)}")
    if found.rbo is not None:
        lines.append(f"rbo         {_percent(found.rbo)} {_RBO}")
    yield fit_to_terminal("\n".join(lines))
    if found.places:
        yield table(
            ("before", "now", words.item),
            [
                (_position(before), _position(after), printable(title))
                for _, title, before, after in found.places
            ],
        )


def _move(move: MovieMove) -> tuple[str, str, str]:
    return f"{move.before:,}", f"{move.after:,}", printable(move.title)


def _position(position: int | None) -> str:
    return "" if position is None else str(position)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"
