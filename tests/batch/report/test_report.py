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
from reco_batch.artifact import MANIFEST, open_artifact
from reco_batch.bounds import GateBounds
from reco_batch.changes import compare_nights
from reco_batch.errors import NightFailed
from reco_batch.progress import PlainReporter
from reco_batch.publishing import publish_artifact
from reco_batch.report import report_of, write_report
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
    assert "There was no night to compare it with." in first
    assert "Refused by the gate" in refused
    assert "2 of" in refused
    assert f"It was compared with {kept.second.generation}" in refused
    assert re.search(
        r"Share of users' first ten that is new: 0\.\d+, bound: at most 0\.01", refused
    )
    assert f"{churn['figure']:.4g}" in refused


def test_what_changed_is_what_two_folders_say(kept):
    """Mean overlap and the counts of movies, against the night that the gate compared with."""
    changes = compare_nights(kept.second, kept.refused)
    said = parsed(kept.refused).said

    assert f"users keep {100 * changes.overlap.mean():.0f} % on average" in said
    entered = int(((changes.shown_before == 0) & (changes.shown_after > 0)).sum())
    assert f"{entered:,} movies entered somebody's first ten" in said
    assert "There is no earlier night to compare with." in parsed(kept.first).said


def test_metrics_stand_beside_last_night_and_the_baseline(kept):
    """With the course over the kept nights, and links to their reports."""
    page = parsed(kept.refused)

    assert "0.900" in page.said
    assert "0.950means of user and movie" in page.said.replace("\n", "")
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
