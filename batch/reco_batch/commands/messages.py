"""Result texts of the `batch` commands. Pure functions of results: no store, no files.

A result is a block of lines, each a label and a value. Parts of a value are three blanks apart,
where `fit_to_terminal` breaks a line that is too wide.
"""

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reco_batch.artifact.check import (
    FORCED,
    NAMED,
    NO_BASELINE,
    PASSED,
    REFUSED,
    WARNING,
    lost_baseline,
)
from reco_batch.artifact.quarantine import StoredArtifact
from reco_batch.progress.terminal import PART_GAP, duration, fit_to_terminal, table
from reco_store.contract.words import Words, counted, words_of
from reco_store.control.collector import REPLACED
from reco_store.control.generation_registry import QUARANTINED, READY, RETIRED, STAGING
from reco_store.publishing.generations import GenerationRecord
from reco_store.publishing.outcome import LIVE, STAGED
from reco_terminal.ages import age_words
from reco_terminal.console import printable
from reco_terminal.wording import hindsight_words, quality_figures, refresh_words

if TYPE_CHECKING:
    from reco_batch.night.forget import Forgot, Undone
    from reco_batch.night.run import Night
    from reco_batch.simulate.files import SimulateConfig
    from reco_batch.tuning.tune import Search
    from reco_store import Published

_EXAMPLE_USER: Final = "42"
HEADER: Final = ("generation", "state", "keys", "MB", "age", "on disk", "note")
#: State of a generation -> legend text, in the order of the legend.
STATES: Final = {
    "live": "readers see it",
    READY: "complete in the store; `batch promote` serves one that was never live, "
    "`batch rollback` one that was",
    STAGING: "being written, or left by a run that died; the next run deletes it",
    REFUSED: "by the gate; `batch republish GENERATION --force REASON` serves it anyway",
    QUARANTINED: "withdrawn by a rollback; not served again, unless with --force REASON",
    RETIRED: "deleted from the store; `batch republish GENERATION` serves it if it is on disk",
    "stored": "on disk only; `batch republish GENERATION` serves it",
}
#: Most ids that a message lists.
_NAMED_USERS: Final = 5
#: Clocks of two machines may differ by this much before an age is reported as negative.
_CLOCK_SKEW_SECONDS: Final = 60


def run_summary(result: "Night", *, store: str, reading_options: str, seconds: float) -> str:
    """Summarise a run: outcome, metrics, gate, store and the path of its report.

    A staged, refused or held run continues with the reason or the next command. The first run of a
    namespace ends with commands that read what it published.

    Args:
        result: the finished run, whose generation may be live, staged, held or refused.
        store: the store's name, without its password.
        reading_options: options that the suggested commands need to reach the same store.
        seconds: duration of the run.
    """
    manifest, published = result.artifact.manifest, result.published
    counts = manifest["counts"]
    movies = words_of(manifest).count_items(counts["movie"])
    size = (
        f"{counted(counts['user'], 'user')}, {movies}, "
        f"{counted(manifest['entries'], 'key')} "
        f"({manifest['bytes'] / 1e6:.1f} MB), {duration(seconds)}"
    )
    lines = [
        _line(published.outcome, published.generation, size),
        *_refresh_lines(manifest),
        *_why_not_live(published, reading_options),
    ]
    figures = quality_figures(manifest["metrics"], result.before, data=manifest.get("data"))
    if figures:
        lines.append(_line("quality", *(f"{name} {text}" for name, text in figures.items())))
    if past := hindsight_words(manifest.get("hindsight"), words_of(manifest)):
        lines.append(_line("hindsight", past))
    lines += [*_gate_lines(published), _line("store", store), _report_line(result.artifact.folder)]
    if published.outcome != LIVE or published.previous is not None:
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


def publish_summary(result: "Published") -> str:
    """Summarise a publication: the generation that is live, and the gate's verdict."""
    return "\n".join([_line(result.outcome, result.generation), *_gate_lines(result)])


def live_line(generation: str) -> str:
    """Return the summary of a run that was cut short after its generation went live."""
    return _line(LIVE, generation)


def unpublished_line(live: str, waiting: str | None) -> str:
    """Return the summary of a refresh that published nothing.

    Args:
        live: generation that stays live.
        waiting: generation that waits for its promotion; None if nothing has changed.
    """
    if waiting is None:
        reason = "no list, card or history differs, so nothing was published"
    else:
        reason = (
            f"{waiting} waits for `batch promote`, and a refresh would replace it, so nothing was "
            "published; --force REASON replaces it and overrules the gate"
        )
    return _line("unchanged", live, reason)


def _refresh_lines(manifest: Mapping[str, Any]) -> list[str]:
    """Return what a refresh computed, and whose models it used; nothing for a run."""
    words = refresh_words(manifest)
    return [_line("refresh", *words)] if words else []


def _line(label: str, *parts: str) -> str:
    """Return a line of a summary: a label, and parts with gaps between them."""
    return f"{label:12}{PART_GAP.join(parts)}"


def _why_not_live(published: "Published", options: str) -> list[str]:
    """Return the reason and the next commands of a run that is not live; else nothing."""
    if published.outcome == LIVE:
        return []
    batch = _sibling("batch")
    if published.outcome == STAGED:
        reco = _sibling("reco")
        # A promotion needs a comparison with the live generation.
        judged = published.verdict is None or not lost_baseline(published.verdict.report)
        serve = "promote" if judged else "republish"
        return [
            _line("next", "look at it, then serve it:"),
            f"  {reco} get-popular --generation {published.generation}{options}",
            f"  {batch} {serve} {published.generation}{options}",
        ]
    republish = f"  {batch} republish {published.generation}"
    if published.held is not None:
        held = published.held
        return [
            _line("reason", printable(f"{held.reason}; held until {held.until}")),
            _line("next", "end the hold, then serve this generation:"),
            f"  {batch} release{options}",
            f"{republish}{' --force REASON' if held.force else ''}{options}",
        ]
    reason = published.verdict.reason if published.verdict else published.outcome
    return [
        _line("reason", printable(reason)),
        _line(
            "next",
            "fix the input or the threshold (--gate-bound) and run again, or serve it anyway:",
        ),
        f"{republish} --force REASON{options}",
    ]


def _gate_lines(result: "Published", *, with_reason: bool = True) -> Iterable[str]:
    """Yield the gate's verdict, if there is one, and all warnings of the publication.

    Args:
        result: the publication.
        with_reason: a person gave a reason, with --force; otherwise the command did.
    """
    report = {} if result.verdict is None else result.verdict.report
    if report.get("checks"):
        yield _line("gate", printable(_gate_text(report, with_reason=with_reason)))
    for warning in (*report.get("warnings", ()), result.warning):
        if warning:
            yield _line("warning", printable(warning))


def _gate_text(report: Mapping[str, Any], *, with_reason: bool) -> str:
    """Return the verdict and its counts, such as `passed: 88 checks, 0 warnings`."""
    counts = Counter(check["verdict"] for check in report["checks"].values())
    judged = sum(counts[verdict] for verdict in (PASSED, WARNING, REFUSED))
    parts = [counted(judged, "check"), counted(counts[WARNING], "warning")]
    if refused := report["refused"]:
        parts.append(f"{len(refused)} refused: {'; '.join(refused[:NAMED])}")
    if report["baseline"] == NO_BASELINE:
        lost = lost_baseline(report)
        why = "the store lost what was live" if lost else "nothing was live before"
        parts.append(f"{NO_BASELINE}: {why}")
    if "forced" in report and with_reason:
        used = "forced" if report["verdict"] == FORCED else "--force was not needed"
        parts.append(f"{used}: {report['forced']}")
    return f"{report['verdict']}: {', '.join(parts)}"


def _report_line(folder: Path) -> str:
    """Return the line with the whole path of the report, or of the folder where there is none."""
    from reco_batch.artifact.folder import report_or_folder  # noqa: PLC0415  # pyarrow

    path = report_or_folder(folder)
    return _line("artifact" if path == folder else "report", str(path))


def tuning_summary(searches: "Sequence[Search]", *, out: Path, data: str, preset: str) -> str:
    """Summarise a search for hyper-parameters, with the command that uses the result."""
    lines = []
    for search in searches:
        before, best, count = search.of_preset, search.best, len(search.trials)
        if count == 1:
            text = f"{before:.4f} with the preset; no other trial was run"
        elif best is search.trials[0]:
            others = (
                "the other trial is not" if count == 2 else f"none of {count - 1} other trials is"
            )
            text = f"{before:.4f} with the preset; {others} better"
        else:
            text = f"{before:.4f} with the preset, {best.score:.4f} in the best of {count} trials"
        lines.append(_line(search.model, f"validation {search.metric}: {text}"))
    use = [_sibling("batch"), "run", "--data", data, "--parameters", str(out)]
    use += ["--preset", preset] if preset != "default" else []
    return "\n".join([*lines, _line("wrote", str(out)), "use it", f"  {shlex.join(use)}"])


def simulation_summary(config: "SimulateConfig") -> str:
    """Summarise a written simulation, with the command that uses it."""
    shape, out = config.shape, printable(str(config.out))
    return "\n".join(
        [
            _line(
                "wrote",
                f"{counted(shape.ratings, 'rating')} of {counted(shape.users, 'user')} and "
                f"{counted(shape.movies, 'movie')} to {out}",
            ),
            "use it",
            f"  {shlex.join([_sibling('batch'), 'run', '--data', out])}",
        ]
    )


def generation_table(
    records: Sequence[GenerationRecord], on_disk: Sequence[StoredArtifact], *, now: datetime
) -> str:
    """Return one row per generation: tab-separated in a pipe, in columns on a terminal.

    Generations deleted from the store are listed if they are on disk, or if they were not just
    replaced: withdrawn by a rollback, refused, failed, or deleted early to make room.

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
    legend = [
        fit_to_terminal(f"{state:13}{meaning}")
        for state, meaning in STATES.items()
        if state in states
    ]
    return "\n".join([table(HEADER, rows), "", *legend])


def _of_store(
    record: GenerationRecord, artifact: StoredArtifact | None, now: datetime
) -> tuple[str, ...]:
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


def _is_rejected_on_disk(state: str, artifact: StoredArtifact) -> bool:
    """Return whether the artifact's folder records a rejection that the store does not."""
    if state == READY:  # in a store that was restored from a backup
        return artifact.is_quarantined
    return state == RETIRED and not artifact.may_be_served


def _of_disk(one: StoredArtifact, now: datetime) -> tuple[str, ...]:
    state = "stored" if one.may_be_served else _rejected(one)
    note = one.note or (f"gate: {one.verdict}" if one.verdict else "never judged by the gate")
    return (one.generation, state, "0", "0.0", _age(one.created, now), "yes", printable(note))


def _rejected(one: StoredArtifact) -> str:
    return QUARANTINED if one.is_quarantined else REFUSED


def _age(created: str, now: datetime) -> str:
    try:
        seconds = (now - datetime.fromisoformat(created)).total_seconds()
    except (ValueError, TypeError):  # none, no time, or one without a zone
        return "unknown"
    return "in the future" if seconds < -_CLOCK_SKEW_SECONDS else age_words(seconds)


def rollback_message(live: str, *, undone: bool = False) -> str:
    """Report a rollback and its effect on the next runs."""
    if undone:
        return f"live again: {live}\nThe rollback is undone; the next run may go live."
    return (
        f"live again: {live}\n"
        "For 24 hours, runs stage their generation without switching to it; `batch release` ends "
        "this hold. To undo the rollback: `batch rollback GENERATION --force REASON`, with the "
        "generation that was live before."
    )


def arm_message(published: "Published | None", arm: str, namespace: str, *, is_over: bool) -> str:
    """Report which arm serves all users of a namespace, and how it stays so.

    Args:
        published: the arm's generation, live in the namespace; None if there was none to publish.
        arm: namespace of the arm.
        namespace: namespace that records the experiment.
        is_over: False if an experiment still splits the users.
    """
    if published is None and is_over:
        return f"the experiment is over: {namespace} serves all its users again"
    then = (
        f"the experiment is over; give the next run of {namespace} the settings of {arm}"
        if is_over
        else f"an experiment still splits the users of {namespace}; look at it with "
        "`batch experiment`, and end it with `batch experiment --end`"
    )
    lines = [_line("next", then)]
    if published is not None:
        live = _line(published.outcome, published.generation, f"from {arm}")
        lines = [live, *_gate_lines(published, with_reason=False), *lines]
    return "\n".join(lines)


def release_message(*, was_held: bool) -> str:
    """Report the end of a hold."""
    return "the hold is off: the next run may go live" if was_held else "there was no hold"


def hide_message(changed: int, titles: Mapping[str, str | None], words: Words) -> str:
    """Report how many movies were hidden, and which of them the live generation does not have."""
    unknown = [printable(movie_id) for movie_id, title in titles.items() if title is None]
    lines = [f"{_items_are(changed, words)} now hidden from every list"]
    if unknown:
        lines.append(
            f"note: not in the live generation: {', '.join(unknown)}; hidden as soon as a "
            "generation has them. `reco search` finds ids by words of titles"
        )
    return "\n".join(lines)


def unhide_message(changed: int, requested: int, words: Words) -> str:
    """Report how many movies are shown again."""
    rest = requested - changed
    unchanged = f"; {rest} {'was' if rest == 1 else 'were'} not hidden" if rest else ""
    return f"{_items_are(changed, words)} shown again{unchanged}"


def _items_are(count: int, words: Words) -> str:
    return f"1 {words.item} is" if count == 1 else f"{count or 'no'} {words.items} are"


def hidden_list(titles: Mapping[str, str | None]) -> str:
    """Return the hidden movies, one per line: id, tab, title."""
    if not titles:
        return "nothing is hidden"
    return "\n".join(
        f"{printable(movie_id)}\t{printable(title or '(not in the live generation)')}"
        for movie_id, title in titles.items()
    )


def forget_message(found: "Forgot") -> str:
    """Report what was erased, where, and what a later run will do."""
    erased, users = found.erased, counted(found.users, "user")
    left_out = _line("later runs", f"leave out everybody in {found.list_file}")
    if not (found.keys or found.generations or any(erased) or found.unfinished):
        earlier = "anybody who was forgotten earlier"
        whom = _named(found.unknown) or (users if found.users else earlier)
        return f"no data was found for {whom}\n{left_out}"
    in_store = (
        f"{counted(found.keys, 'key')} deleted",
        f"{counted(found.generations, 'generation')} changed",
    )
    on_disk = (
        f"{counted(erased.rows, 'row')} and {counted(erased.models, 'model')} deleted",
        f"{counted(erased.artifacts, 'artifact')} changed",
    )
    lines = [
        _line("forgotten", users),
        _line("store", *in_store),
        _line("on disk", *on_disk),
        _line("unfinished", f"{counted(found.unfinished, 'run')} deleted"),
        left_out,
    ]
    if found.unknown:
        lines.append(f"note: no data was found for {_named(found.unknown)}; check the spelling")
    return "\n".join(lines)


def _named(users: Sequence[str]) -> str:
    """Return the ids of the first users, and the number of the others."""
    more = len(users) - _NAMED_USERS
    shown = ", ".join(map(printable, users[:_NAMED_USERS]))
    return f"{shown} and {counted(more, 'user')} more" if more > 0 else shown


def undo_message(undone: "Undone") -> str:
    """Report who is forgotten no longer, and when their values come back."""
    others = [f"{counted(undone.others, 'user')} not in it"] if undone.others else []
    then = "; what was erased comes back with the next run" if undone.users else ""
    return "\n".join(
        [
            _line("removed", f"{counted(undone.users, 'user')} from the list", *others),
            _line("later runs", f"leave out everybody in {undone.list_file}{then}"),
        ]
    )


def stop_message(*, was_running: bool) -> str:
    """Report that the embedded store was stopped."""
    return (
        "the embedded store is saved and stopped"
        if was_running
        else "the embedded store was not running"
    )


def _sibling(command: str) -> str:
    """Return a command of the same installation, with its path if this one was called by path."""
    own = Path(sys.argv[0])
    return str(own.with_name(command)) if "/" in sys.argv[0] and own.name == "batch" else command
