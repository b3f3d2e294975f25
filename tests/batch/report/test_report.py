"""The report as a file: what stands in it, that nothing in it acts, and when it is written."""

import base64
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from real_servers import running_server
from reco_batch.artifact.folder import MANIFEST, open_artifact
from reco_batch.errors import NightFailed
from reco_batch.evaluation.generation_diff import compare_runs
from reco_batch.night.publishing import publish_artifact
from reco_batch.progress.reporter import PlainReporter
from reco_batch.report.file import report_of, write_report
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import Keys, RunLock, UsageError, connect
from told_nights import HOSTILE

SECTIONS = {
    "verdict",
    "quality",
    "changes",
    "spread",
    "users",
    "checks",
    "training",
    "time",
    "data",
    "about",
}
#: All that the page is made of; what can run, load, post or restyle is not among it.
ELEMENTS = set(
    re.findall(
        r"\w+",
        """
        html head meta title link style body header div nav main section footer p h1 h2 h3 h4 a
        ul ol li dl dt dd b i bdi strong code span table caption thead tbody tr th td
        details summary figure figcaption svg path line circle rect text
        """,
    )
)


class Parsed(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.elements, self.attributes, self.ids = set(), [], set()
        self.said, self.style, self._inside = "", "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note the element."""
        self.elements.add(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids |= {value for name, value in attrs if name == "id"}
        self._inside = tag

    def handle_endtag(self, tag):  # noqa: ARG002  # the name is the parser's
        """Leave the element."""
        self._inside = ""

    def handle_data(self, data):
        """Keep the text."""
        if self._inside == "style":
            self.style += data
        else:
            self.said += data


def parsed(artifact) -> Parsed:
    """Read a night's report."""
    return Parsed((artifact.folder / "report.html").read_text("utf-8"))


@pytest.fixture(params=["first", "second", "refused"])
def night(request, kept):
    """Each of the nights."""
    return getattr(kept, request.param)


def test_every_night_has_a_report(night):
    """Refused or not; all parts are there, in less than a megabyte."""
    page = parsed(night)

    assert page.ids == SECTIONS
    assert (night.folder / "report.html").stat().st_size < 1_000_000
    assert not list(night.folder.glob(".*"))


def test_nothing_in_it_acts(night):
    """No element, attribute or address but those of the template, whatever titles say."""
    page = parsed(night)

    assert page.elements <= ELEMENTS
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name, value)
        assert name not in {"style", "src", "action", "srcset", "xlink:href"}
        if name == "href":
            assert re.fullmatch(
                r"#\w+|\.\./[\w%-]+/report\.html|data:image/svg\+xml;base64,[\w+/=]+", value
            )


def test_titles_and_ids_are_text(kept):
    """Every hostile title is read as it was written, but for what could hide or turn it round."""
    page = parsed(kept.second)

    for title in HOSTILE:
        shown = title.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b").replace("\x07", "\\x07")
        assert (shown if len(shown) < 90 else f"{'x' * 89}…") in page.said
    assert "\u202e" not in page.said
    assert "<b onclick=alert(" in page.said
    assert "3 ratings were <i>odd</i>" in page.said


def test_the_policy_allows_the_style_and_nothing_else(night):
    """A browser that keeps it loads nothing and runs nothing."""
    page = parsed(night)
    (policy,) = (v for tag, name, v in page.attributes if name == "content" and "default-src" in v)
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_verdict_and_why(kept):
    """A refused night names each failed check with figure and bound, in words."""
    first, refused = parsed(kept.first).said, parsed(kept.refused).said
    churn = kept.refused.manifest["gate"]["checks"]["churn.user"]

    assert "Passed the gate" in first
    assert "There was no live run to compare it with." in first
    assert "Not served: refused by the gate" in refused
    assert "2 of" in refused
    assert f"It was compared with {kept.second.generation}" in refused
    assert re.search(
        r"Share of users' top-10 that is new: 0\.\d+, bound: at most 0\.01 churn\.user", refused
    )
    assert f"{churn['figure']:.4g}" in refused


def with_outcome(artifact, folder, **published):
    """Return the report of a copy of a night whose publishing ended so."""
    shutil.copytree(artifact.folder, folder / artifact.generation)
    manifest = {**artifact.manifest, "published": published}
    (folder / artifact.generation / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    page = write_report(open_artifact(folder, artifact.generation)).read_text("utf-8")
    return page, Parsed(page).said


def test_what_became_of_a_run_is_seen_at_once(kept, tmp_path):
    """A stamp, a box of its own kind, the page's title, and the commands to run next."""
    held = {"held_until": "2026-11-30T03:00:00+00:00", "held_reason": "x was rolled back from"}
    name = kept.first.generation
    live, _ = with_outcome(kept.first, tmp_path / "live", outcome="live")
    staged, said = with_outcome(kept.first, tmp_path / "held", outcome="held", **held)
    refused = (kept.refused.folder / "report.html").read_text("utf-8")

    for page, stamp, kind in (
        (live, "Live", "(good|warn)"),
        (staged, "Held", "held"),
        (refused, "Refused", "bad"),
    ):
        assert f'<p class="stamp">{stamp}</p>' in page
        assert re.search(rf'<div class="verdict {kind}">', page)
        assert f"<title>{stamp} · " in page
    assert "until 2026-11-30 03:00 UTC (x was rolled back from)" in said
    assert "<code>batch release --namespace told</code>" in staged
    assert f"<code>batch republish {name} --namespace told</code>" in staged
    forced = f"batch republish {kept.refused.generation} --namespace told --force REASON"
    assert f"<code>{forced}</code>" in refused
    assert "<code>batch rollback --namespace told</code>" in live


def test_how_publishing_ended_is_kept_with_the_artifact(kept):
    """The store may be gone when somebody asks."""
    outcomes = [
        json.loads((night.folder / MANIFEST).read_text("utf-8"))["published"]["outcome"]
        for night in (kept.first, kept.second, kept.refused)
    ]

    assert outcomes == ["live", "live", "refused"]


def test_what_a_run_is_made_of_is_compared(kept, tmp_path):
    """Parameters, versions and data that are not the last run's are named, with both values."""
    shutil.copytree(kept.first.folder.parent, tmp_path / "artifacts")
    path = tmp_path / "artifacts" / kept.second.generation / MANIFEST
    manifest = json.loads(path.read_text("utf-8"))
    manifest["parameters"] |= {"seed": 8, "models": {"epochs": 41}}
    manifest["versions"] |= {"scipy": "9.9"}
    manifest["data"] |= {"users": 123}
    path.write_text(json.dumps(manifest), "utf-8")
    made = open_artifact(tmp_path / "artifacts", kept.second.generation)

    page = write_report(made).read_text("utf-8")

    was = kept.first.manifest["data"]["users"]
    rows = dict(re.findall(r"<code>([^<]+)</code></th>(<td.*?)</tr>", page))
    cells = {name: re.findall(r"<td[^>]*>([^<]*)</td>", row) for name, row in rows.items()}
    assert cells["seed"] == ["7", "8"]
    assert cells["models.epochs"] == ["(none)", "41"]
    assert cells["version of scipy"] == ["(none)", "9.9"]
    assert cells["data.users"] == [str(was), "123"]
    assert "k" not in cells
    same = (kept.refused.folder / "report.html").read_text("utf-8")
    assert "<code>seed</code></th><td" not in same


def test_what_changed_is_what_two_folders_say(kept):
    """Mean overlap and the counts of movies, against the night that the gate compared with."""
    changes = compare_runs(kept.second, kept.refused)
    said = parsed(kept.refused).said

    assert f"users keep {100 * changes.overlap.mean():.0f} % on average" in said
    entered = int(((changes.shown_before == 0) & (changes.shown_after > 0)).sum())
    assert f"{entered:,} movies entered at least one top-10" in said
    assert "There is no earlier run to compare with." in parsed(kept.first).said


def test_metrics_stand_beside_last_night_and_the_baseline(kept):
    """With the course over the kept nights, and links to their reports."""
    page = parsed(kept.refused)

    assert "0.900" in page.said
    assert "0.950user and item means" in page.said.replace("\n", "")
    links = {value for tag, name, value in page.attributes if tag == "a" and value.startswith("..")}
    assert links == {f"../{n.generation}/report.html" for n in (kept.first, kept.second)}


def test_losses_and_times(kept):
    """A curve for each training and its parts, and each stage with its time."""
    said = parsed(kept.second).said

    assert "Train rating loss" in said
    assert said.count("part 2") == 1
    assert "1 min 15 s" in said
    assert "1 h 02 min" in said


def test_made_again_it_is_the_same(kept, tmp_path):
    """From a copy of the folders alone, byte by byte, whenever it is asked for."""
    folder = tmp_path / "artifacts"
    shutil.copytree(kept.second.folder.parent, folder)
    path = folder / kept.second.generation / "report.html"
    before = path.read_bytes()
    path.unlink()

    assert report_of(folder, kept.second.generation, namespace="told") == path
    assert path.read_bytes() == before


def test_an_old_report_gives_way_to_the_verdict(kept, tmp_path):
    """A report that is older than the manifest is written again, a newer one is left alone."""
    folder = tmp_path / "artifacts"
    shutil.copytree(kept.second.folder.parent, folder)
    path = folder / kept.second.generation / "report.html"
    path.write_text("as it was")
    assert report_of(folder, kept.second.generation, namespace="told").read_text() == "as it was"

    os.utime(path, (0, 0))

    assert report_of(folder, kept.second.generation, namespace="told").read_text() != "as it was"


def test_the_newest_night_is_the_default(kept):
    """Of the namespace that is asked for."""
    folder = kept.refused.folder.parent

    assert report_of(folder, None, namespace="told").parent == kept.refused.folder
    with pytest.raises(
        NightFailed, match=r"no complete artifact of the namespace 'other'.*batch run"
    ):
        report_of(folder, None, namespace="other")
    with pytest.raises(UsageError):
        report_of(folder, "../elsewhere", namespace="told")


def test_without_last_nights_folder(kept, tmp_path):
    """It says so, and shows the rest."""
    shutil.copytree(kept.refused.folder, tmp_path / kept.refused.generation)
    alone = open_artifact(tmp_path, kept.refused.generation)

    said = Parsed(write_report(alone).read_text("utf-8")).said

    assert f"{kept.second.generation}, is no longer on disk" in said
    assert "Twenty users" in said


def test_a_report_that_cannot_be_written_only_warns(kept, tmp_path, capsys):
    """The night goes live all the same, and nothing half written is left behind."""
    folder = tmp_path / kept.second.generation
    shutil.copytree(kept.second.folder, folder)
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    artifact = open_artifact(tmp_path, kept.second.generation)
    with running_server() as url, connect(url) as client, RunLock(client, Keys("told")) as lock:
        published = publish_artifact(
            artifact,
            client,
            lock,
            keep=3,
            bounds=GateBounds(),
            force=None,
            reporter=PlainReporter(),
        )

    assert published.outcome == "live"
    said = capsys.readouterr().err.splitlines()
    assert f"warning: there is no report of {kept.second.generation}: " in said[-1]
    assert {path.name for path in folder.iterdir()} == {
        "lists",
        "movies.parquet",
        MANIFEST,
        "report.html",
    }


def test_a_damaged_list_is_named(kept, tmp_path):
    """The error names the file."""
    folder = tmp_path / kept.second.generation
    shutil.copytree(kept.second.folder, folder)
    (folder / "lists" / "seen.parquet").write_bytes(b"PAR1")

    with pytest.raises(NightFailed, match=r"seen\.parquet is damaged"):
        write_report(open_artifact(tmp_path, kept.second.generation))


@pytest.mark.parametrize(
    "missing", ["parameters", "data", "metrics", "seconds", "losses", "gate", "versions"]
)
@pytest.mark.parametrize("junk", [None, {"?": [1]}], ids=repr)
def test_a_manifest_of_another_version(kept, tmp_path, missing, junk):
    """What is not there, or is something else, is not said; the page is whole."""
    folder = tmp_path / kept.refused.generation
    shutil.copytree(kept.refused.folder, folder)
    manifest = {**kept.refused.manifest, missing: junk}
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")

    page = write_report(open_artifact(tmp_path, kept.refused.generation)).read_text("utf-8")

    assert Parsed(page).ids == SECTIONS
