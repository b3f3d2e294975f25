"""What the commands print when all went well. Words only: no store, no files."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reco_batch.artifact.checks import summary
from reco_batch.artifact.quarantine import Kept
from reco_batch.progress.terminal import duration, table
from reco_store.control.collector import REPLACED
from reco_store.control.registry import QUARANTINED, READY, REFUSED, RETIRED, STAGING
from reco_store.publishing.generations import GenerationRecord
from reco_store.publishing.outcome import LIVE
from reco_terminal.console import printable
from reco_terminal.wording import age_words, quality_figures

if TYPE_CHECKING:
    from reco_batch.night.run import Night
    from reco_batch.simulate.config import SimulateConfig
    from reco_batch.tuning.tune import Search
    from reco_store import Published

_EXAMPLE_USER = "42"
HEADER = ("generation", "state", "keys", "MB", "age", "on disk", "note")
#: State -> its meaning, in the order of the legend.
STATES = {
    "live": "readers see it",
    READY: "complete in the store; `batch rollback GENERATION` serves it",
    STAGING: "being written, or left by a run that died; the next run deletes it",
    REFUSED: "by the gate; `batch republish GENERATION --force REASON` serves it all the same",
    QUARANTINED: "rolled back from; not served again, unless with --force REASON",
    RETIRED: "deleted from the store; `batch republish GENERATION` serves it if it is on disk",
    "stored": "on disk alone; `batch republish GENERATION` serves it",
}
_CLOCKS_APART_SECONDS = 60


def night(result: "Night", *, store: str, reading_options: str, seconds: float) -> str:
    """Summarise a run: live or not, its quality, the path of its report, commands to try next.

    Args:
        result: the finished run, whose generation may be live, held or refused.
        store: the store's name, without its password.
        reading_options: what the suggested commands need to read there.
        seconds: how long the run took.
    """
    manifest = result.artifact.manifest
    counts = manifest["counts"]
    lines = [
        f"{result.published.outcome:10}{result.published.generation} after {duration(seconds)}",
        (
            f"{'':10}{counts['user']:,} users, {counts['movie']:,} movies, "
            f"{manifest['entries']:,} keys ({manifest['bytes'] / 1e6:.1f} MB)"
        ),
        *_quality(manifest["metrics"], result.before),
        *_gate(result.published),
    ]
    if result.published.warning:
        lines.append(f"warning   {result.published.warning}")
    lines += [f"store     {store}", _account(result.artifact.folder)]
    if result.published.outcome != LIVE:  # the error that follows names the next command
        return "\n".join(lines)
    reco = _sibling("reco")
    user = shlex.quote(printable(result.example_user(_EXAMPLE_USER)))
    by = " --by highest-rated" if counts.get("ranked") else ""  # not without ratings
    return "\n".join(
        [
            *lines,
            "try next",
            f"  {reco} get-user {user}{reading_options}",
            f"  {reco} get-popular{by} -n 5{reading_options}",
            f"  {reco} status{reading_options}",
        ]
    )


def _quality(metrics: object, before: object) -> list[str]:
    """Return a line a figure, the first one labelled."""
    said = [f"{name} {text}" for name, text in quality_figures(metrics, before).items()]
    return [f"{'' if row else 'quality':10}{text}" for row, text in enumerate(said)]


def _account(folder: Path) -> str:
    """Return the line with the whole path of the report, or of the folder where there is none."""
    from reco_batch.artifact.folder import account_of  # noqa: PLC0415  # pyarrow

    path = account_of(folder)
    return f"{'artifact' if path == folder else 'report':10}{path}"


def _gate(result: "Published") -> list[str]:
    report = {} if result.verdict is None else result.verdict.report
    text = summary(report)
    warnings = [f"warning   {text}" for text in report.get("warnings", ())]
    return [*([f"gate      {printable(text)}"] if text else []), *warnings]


def tuned(searches: "Sequence[Search]", *, out: Path, data: str, preset: str) -> str:
    """Say what was found, and how to use it."""
    lines = []
    for search in searches:
        before, best, count = search.of_preset, search.best, len(search.trials)
        if best is search.trials[0]:
            said = f"{before:.4f} to begin with, and none of {count - 1} other trials is better"
        else:
            said = (
                f"{before:.4f} as the preset has it, {best.score:.4f} in the best of {count} trials"
            )
        lines.append(f"{search.model:9} {search.metric} on the validation part: {said}")
    use = [_sibling("batch"), "run", "--data", data, "--parameters", str(out)]
    use += ["--preset", preset] if preset != "default" else []
    return "\n".join([*lines, f"wrote     {out}", "use it", f"  {shlex.join(use)}"])


def simulated(config: "SimulateConfig") -> str:
    """Say what was written, and how to use it."""
    shape, out = config.shape, str(config.out)
    return "\n".join(
        [
            (
                f"wrote     {shape.ratings:,} ratings of {shape.users:,} users and "
                f"{shape.movies:,} movies to {printable(out)}"
            ),
            "use it",
            f"  {shlex.join([_sibling('batch'), 'run', '--data', printable(out)])}",
        ]
    )


def published(result: "Published") -> str:
    """Say what is served now."""
    lines = [f"{result.outcome:10}{result.generation}", *_gate(result)]
    if result.warning:
        lines.append(f"warning   {result.warning}")
    return "\n".join(lines)


def generations(
    records: Sequence[GenerationRecord], on_disk: Sequence[Kept], *, now: datetime
) -> str:
    """Show a line a generation, tab-separated in a pipe, in columns on a terminal.

    Of those that are gone from the store, the ones that are on disk yet, and the ones that did not
    leave in the ordinary way: rolled back from, refused, failed, or given up early to make room.

    Args:
        records: the store's records of generations, newest first.
        on_disk: the complete artifacts of the namespace.
        now: the time from which ages are computed.
    """
    artifacts = {one.generation: one for one in on_disk}
    known = {record.id for record in records}
    lines = {
        record.id: _of_store(record, artifacts.get(record.id), now)
        for record in records
        if record.stored or record.live or record.note != REPLACED or record.id in artifacts
    }
    lines |= {one.generation: _of_disk(one, now) for one in on_disk if one.generation not in known}
    rows = [lines[generation] for generation in sorted(lines, reverse=True)]
    if not sys.stdout.isatty():
        return "\n".join("\t".join(row) for row in rows)
    if not rows:
        return "no generations; run `batch run`"
    states = {row[1] for row in rows}
    legend = [f"{state:12}{words}" for state, words in STATES.items() if state in states]
    return "\n".join([table(HEADER, rows), "", *legend])


def _of_store(record: GenerationRecord, artifact: Kept | None, now: datetime) -> tuple[str, ...]:
    state = "live" if record.live else record.state
    note = record.note
    if artifact is not None and _is_rejected_on_disk(state, artifact):
        state, note = _rejected(artifact), artifact.note
    return (
        record.id,
        state,
        f"{record.entries if record.stored else 0}",
        f"{record.size_bytes / 1e6 if record.stored else 0:.1f}",
        _age(record.created, now),
        "no" if artifact is None else "yes",
        printable(note),
    )


def _is_rejected_on_disk(state: str, artifact: Kept) -> bool:
    """Return whether the artifact's folder records a rejection that the store does not."""
    if state == READY:  # in a store that was restored from a backup
        return artifact.is_quarantined
    return state == RETIRED and not artifact.may_be_served


def _of_disk(one: Kept, now: datetime) -> tuple[str, ...]:
    state = "stored" if one.may_be_served else _rejected(one)
    note = one.note or (f"gate: {one.verdict}" if one.verdict else "never judged by the gate")
    return (one.generation, state, "0", "0.0", _age(one.created, now), "yes", printable(note))


def _rejected(one: Kept) -> str:
    return QUARANTINED if one.is_quarantined else REFUSED


def _age(created: str, now: datetime) -> str:
    try:
        seconds = (now - datetime.fromisoformat(created)).total_seconds()
    except (ValueError, TypeError):  # none, no time, or one without a zone
        return "unknown"
    return "in the future" if seconds < -_CLOCKS_APART_SECONDS else age_words(seconds)


def rolled_back(live: str, *, undone: bool = False) -> str:
    """Say what is served now and what the next nights will do."""
    if undone:
        return f"live again: {live}\nThe rollback is undone; the next night may go live."
    return (
        f"live again: {live}\n"
        "The nights of the next 24 hours stage their generation and do not switch to it; "
        "`batch release` ends that. If this was a mistake: `batch rollback GENERATION --force "
        "REASON`, with the generation that was live before."
    )


def released(*, was_held: bool) -> str:
    """Say whether there was a hold."""
    return "the hold is off: the next night may go live" if was_held else "there was no hold"


def hid(changed: int, titles: Mapping[str, str | None]) -> str:
    """Say what is hidden now, and which of it is no movie of the live generation."""
    unknown = [printable(movie_id) for movie_id, title in titles.items() if title is None]
    lines = [f"{changed} more hidden, from every list and at once"]
    if unknown:
        lines.append(
            f"note: not in the live generation: {', '.join(unknown)}; hidden once one has it. "
            "`reco search` finds ids by words of titles"
        )
    return "\n".join(lines)


def unhid(changed: int, asked: int) -> str:
    """Say how many are shown again."""
    rest = "" if changed == asked else f"; {asked - changed} were not hidden"
    return f"{changed} shown again{rest}"


def hidden(titles: Mapping[str, str | None]) -> str:
    """List what is hidden, one movie a line."""
    if not titles:
        return "nothing is hidden"
    return "\n".join(
        f"{printable(movie_id)}\t{printable(title or '(not in the live generation)')}"
        for movie_id, title in titles.items()
    )


def stopped(*, was_running: bool) -> str:
    """Say whether there was a server."""
    return "the embedded store is saved and stopped" if was_running else "it was not running"


def _sibling(command: str) -> str:
    """Return how to call another of our commands from where this one was called."""
    own = Path(sys.argv[0])
    return str(own.with_name(command)) if "/" in sys.argv[0] and own.name == "batch" else command
