"""The report as a file: its content, its safety, and when it is written."""

import base64
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from hostile_runs import HOSTILE
from real_servers import running_server
from reco_batch.artifact.folder import MANIFEST, Artifact, open_artifact
from reco_batch.errors import NightFailed
from reco_batch.evaluation.generation_diff import compare_runs
from reco_batch.night.publish_stage import publish_artifact
from reco_batch.progress.reporter import PlainReporter
from reco_batch.report.checks import verdict_of
from reco_batch.report.report_file import report_of, write_report
from reco_batch.settings.gate_thresholds import GateBounds
from reco_store import Keys, RunLock, UsageError, connect

SECTIONS = {
    "verdict",
    "quality",
    "hindsight",
    "changes",
    "spread",
    "users",
    "checks",
    "chosen",
    "training",
    "time",
    "data",
    "about",
}
#: Elements of the page; none can run a script, load, post or restyle.
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
    """Elements, attributes and text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.elements, self.attributes, self.ids = set(), [], set()
        self.text, self.style, self._inside = "", "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Record an element."""
        self.elements.add(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids |= {value for name, value in attrs if name == "id"}
        self._inside = tag

    def handle_endtag(self, tag):  # noqa: ARG002  # the name is the parser's
        """Leave an element."""
        self._inside = ""

    def handle_data(self, data):
        """Record text."""
        if self._inside == "style":
            self.style += data
        else:
            self.text += data


def parsed(artifact) -> Parsed:
    """Parse the report of a run."""
    return Parsed((artifact.folder / "report.html").read_text("utf-8"))


@pytest.fixture(params=["first", "second", "refused"])
def night(request, kept):
    """Each of the runs."""
    return getattr(kept, request.param)


def test_every_run_has_a_report(night):
    """Refused or not, a report has all sections, in less than a megabyte."""
    page = parsed(night)

    assert page.ids == SECTIONS
    assert (night.folder / "report.html").stat().st_size < 1_000_000
    assert not list(night.folder.glob(".*"))


def test_a_page_has_no_active_content(night):
    """No element, attribute or address is from the data, whatever titles contain."""
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
    """Every hostile title is shown as text, without characters that hide or reverse it."""
    page = parsed(kept.second)

    for title in HOSTILE:
        shown = title.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b").replace("\x07", "\\x07")
        assert (shown if len(shown) < 90 else f"{'x' * 89}…") in page.text
    assert "\u202e" not in page.text
    assert "<b onclick=alert(" in page.text
    assert "3 ratings were <i>odd</i>" in page.text


def test_the_policy_allows_the_style_and_nothing_else(night):
    """A browser that applies the policy loads nothing and runs nothing."""
    page = parsed(night)
    (policy,) = (v for tag, name, v in page.attributes if name == "content" and "default-src" in v)
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_refused_run_names_its_checks(kept):
    """A refused run names each failed check with its value and threshold."""
    first, refused = parsed(kept.first).text, parsed(kept.refused).text
    churn = kept.refused.manifest["gate"]["checks"]["churn.user"]

    assert "Live" in first
    assert "The gate passed it: " in first
    assert "The gate refused it: " in refused
    assert "2 of" in refused
    assert f"Compared with {kept.second.generation}." in refused
    assert re.search(
        r"Churn of users' top-10 lists: 0\.\d+, threshold: at most 0\.01 churn\.user", refused
    )
    assert f"{churn['figure']:.4g}" in refused


def with_outcome(artifact, folder, **published):
    """Return the report of a copy of a run with another outcome."""
    shutil.copytree(artifact.folder, folder / artifact.generation)
    manifest = {**artifact.manifest, "published": published}
    (folder / artifact.generation / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    page = write_report(open_artifact(folder, artifact.generation)).read_text("utf-8")
    return page, Parsed(page).text


def test_a_staged_run_without_comparison_is_republished():
    """A promotion would refuse it: the store had lost what was live."""
    manifest = {
        "generation": "b",
        "published": {"outcome": "staged"},
        "gate": {"verdict": "passed", "baseline": "no baseline", "checks": {}},
    }
    lost = {"live.data": {"verdict": "warning", "figure": 0.1}}
    (first,) = verdict_of(manifest).commands
    manifest["gate"]["checks"] = lost
    (second,) = verdict_of(manifest).commands
    assert [one.line.split()[1] for one in (first, second)] == ["promote", "republish"]


def test_the_outcome_is_the_heading(kept, tmp_path):
    """The outcome is the heading, the box and the page's title; the next commands follow."""
    held = {
        "held_until": "2026-11-30T03:00:00+00:00",
        "held_reason": "x was withdrawn by a rollback",
    }
    name = kept.first.generation
    live, _ = with_outcome(kept.second, tmp_path / "live", outcome="live")
    staged, text = with_outcome(kept.first, tmp_path / "held", outcome="held", **held)
    waiting, _ = with_outcome(kept.first, tmp_path / "staged", outcome="staged")
    refused = (kept.refused.folder / "report.html").read_text("utf-8")

    for page, outcome, kind in (
        (live, "Live", "(good|warn)"),
        (staged, "Held", "held"),
        (waiting, "Staged", "held"),
        (refused, "Refused", "bad"),
    ):
        assert f"<h1>{outcome}</h1>" in page
        assert re.search(rf'<div class="verdict {kind}">', page)
        assert f"<title>{outcome} · " in page
    assert "until 2026-11-30 03:00 UTC (x was withdrawn by a rollback)" in text
    assert "<code>batch release --namespace kept</code>" in staged
    assert f"<code>batch promote {name} --namespace kept</code>" in waiting
    assert f"<code>batch republish {name} --namespace kept</code>" in staged
    forced = f"batch republish {kept.refused.generation} --namespace kept --force REASON"
    assert f"<code>{forced}</code>" in refused
    assert "<code>batch rollback --namespace kept</code>" in live
    first = (kept.first.folder / "report.html").read_text("utf-8")
    assert "batch rollback" not in first  # nothing was live before it
    assert "<code>reco status --namespace kept</code>" in first


def test_a_passed_run_that_did_not_finish_publishing_is_not_live(kept, tmp_path):
    """A kill, a lost lock or a failed switch leaves a verdict without an outcome."""
    name = kept.second.generation
    page, text = with_outcome(kept.second, tmp_path / "passed")

    assert "<h1>Not published</h1>" in page
    assert '<div class="verdict none">' in page
    assert "The run did not finish publishing. The gate passed it: " in text
    assert f"<code>batch republish {name} --namespace kept</code>" in page
    assert "batch rollback" not in page

    gate = {**kept.second.manifest["gate"], "verdict": "forced", "forced": "a sale"}
    forced = Artifact(kept.second.folder, {**kept.second.manifest, "gate": gate})
    page, text = with_outcome(forced, tmp_path / "forced")
    assert "<h1>Not published</h1>" in page
    assert f"<code>batch republish {name} --namespace kept --force REASON</code>" in page


def test_the_artifact_records_the_outcome(kept):
    """The artifact records the outcome, as the store may be gone."""
    outcomes = [
        json.loads((night.folder / MANIFEST).read_text("utf-8"))["published"]["outcome"]
        for night in (kept.first, kept.second, kept.refused)
    ]

    assert outcomes == ["live", "live", "refused"]


def test_parameters_versions_and_data_are_compared(kept, tmp_path):
    """Parameters, versions and data that differ from the last run are listed with both values."""
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


def test_a_global_split_is_described(kept, tmp_path):
    """Its moment, its cold ratings and the number of users that were measured."""
    shutil.copytree(kept.first.folder.parent, tmp_path / "artifacts")
    path = tmp_path / "artifacts" / kept.second.generation / MANIFEST
    manifest = json.loads(path.read_text("utf-8"))
    manifest["data"] |= {"test_users": 28, "cold": 1234, "held_out_after": 1_514_764_800.0}
    path.write_text(json.dumps(manifest), "utf-8")

    page = write_report(open_artifact(tmp_path / "artifacts", kept.second.generation))

    text = page.read_text("utf-8")
    assert "Measured on held-out ratings of 28 users, with" in text
    assert "2018-01-01" in text
    assert "later ratings of users without earlier ones" in text
    assert "1,234" in text


def test_changes_are_computed_from_two_folders(kept):
    """Mean overlap and the counts of movies, against the run that the gate compared with."""
    changes = compare_runs(kept.second, kept.refused)
    text = parsed(kept.refused).text

    assert f"Mean overlap of top-10 lists: {100 * changes.overlap.mean():.0f} %" in text
    entered = int(((changes.shown_before == 0) & (changes.shown_after > 0)).sum())
    assert f"{entered:,} movies entered at least one top-10" in text
    assert "There is no earlier run to compare with." in parsed(kept.first).text


def test_metrics_are_compared_with_the_last_run_and_the_baseline(kept):
    """Metrics have a trend over the kept runs, whose reports are linked."""
    page = parsed(kept.refused)

    assert "0.900" in page.text
    assert "0.950user and item means" in page.text.replace("\n", "")
    links = {value for tag, name, value in page.attributes if tag == "a" and value.startswith("..")}
    assert links == {f"../{n.generation}/report.html" for n in (kept.first, kept.second)}


def test_losses_and_times(kept):
    """A curve for each training and its parts, and each stage with its time."""
    text = parsed(kept.second).text

    assert "Train rating loss" in text
    assert text.count("part 2") == 1  # not that of the choice, whose losses are not comparable
    assert "1 min 15 s" in text
    assert "1 h 02 min" in text


def test_a_report_made_again_is_the_same(kept, tmp_path):
    """A copy of the folders gives the same bytes at any time."""
    folder = tmp_path / "artifacts"
    shutil.copytree(kept.second.folder.parent, folder)
    path = folder / kept.second.generation / "report.html"
    before = path.read_bytes()
    path.unlink()

    assert report_of(folder, kept.second.generation, namespace="kept") == path
    assert path.read_bytes() == before


def test_a_report_older_than_the_verdict_is_replaced(kept, tmp_path):
    """A report that is older than the manifest is written again, a newer one is left alone."""
    folder = tmp_path / "artifacts"
    shutil.copytree(kept.second.folder.parent, folder)
    path = folder / kept.second.generation / "report.html"
    path.write_text("as it was")
    assert report_of(folder, kept.second.generation, namespace="kept").read_text() == "as it was"

    os.utime(path, (0, 0))

    assert report_of(folder, kept.second.generation, namespace="kept").read_text() != "as it was"


def test_the_newest_run_is_the_default(kept):
    """The newest run of the requested namespace is the default."""
    folder = kept.refused.folder.parent

    assert report_of(folder, None, namespace="kept").parent == kept.refused.folder
    with pytest.raises(
        NightFailed, match=r"no complete artifact of the namespace 'other'.*batch run"
    ):
        report_of(folder, None, namespace="other")
    with pytest.raises(UsageError):
        report_of(folder, "../elsewhere", namespace="kept")


def test_without_the_folder_of_the_last_run(kept, tmp_path):
    """The report names the missing run, and has all other sections."""
    shutil.copytree(kept.refused.folder, tmp_path / kept.refused.generation)
    alone = open_artifact(tmp_path, kept.refused.generation)

    text = Parsed(write_report(alone).read_text("utf-8")).text

    assert f"{kept.second.generation}, is no longer on disk" in text
    assert "Sample users" in text


def test_a_report_that_cannot_be_written_only_warns(kept, tmp_path, capsys):
    """The run goes live anyway, and no partial file is left behind."""
    folder = tmp_path / kept.second.generation
    shutil.copytree(kept.second.folder, folder)
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    artifact = open_artifact(tmp_path, kept.second.generation)
    with running_server() as url, connect(url) as client, RunLock(client, Keys("kept")) as lock:
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
    text = capsys.readouterr().err.splitlines()
    assert f"warning: there is no report of {kept.second.generation}: " in text[-1]
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
    """Missing or invalid fields are left out; the page is complete."""
    folder = tmp_path / kept.refused.generation
    shutil.copytree(kept.refused.folder, folder)
    manifest = {**kept.refused.manifest, missing: junk}
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")

    page = write_report(open_artifact(tmp_path, kept.refused.generation)).read_text("utf-8")

    assert Parsed(page).ids == SECTIONS
