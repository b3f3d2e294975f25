"""Units, manifests and settings in docs/operations.md are valid."""

import configparser
import re
from pathlib import Path

import pytest
import yaml

from reco_batch.progress.json_log import JsonReporter, open_log
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.precedence import SETTINGS, read_settings, variable

PAGE = Path(__file__).parents[2].joinpath("docs/operations.md").read_text("utf-8")
VARIABLES = {*map(variable, SETTINGS), "RECO_CONFIG"}


def blocks(language):
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def require_batch(words):
    """Require that a command line starts a run or a refresh with existing options."""
    program, command, *options = words
    assert program.endswith("batch")
    assert command in {"run", "refresh"}
    for word in options:
        name = word.removeprefix("--").removeprefix("no-").replace("-", "_")
        assert not word.startswith("--") or name in {*SETTINGS, "config"}


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_are_settings(text, tmp_path, monkeypatch):
    """Every key of a TOML block exists and has a valid value."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "reco.toml"
    path.write_text(text, "utf-8")

    assert read_settings({}, path).origins


def test_cron_lines_start_the_job():
    """Cron lines have five time fields and a full path."""
    for line in "".join(blocks("cron")).splitlines():
        *when, command = line.split(maxsplit=5)
        assert len(when) == 5
        if "docker" not in command:
            require_batch(command.rpartition("&& ")[2].split())


def test_units_start_the_job():
    """The systemd units are a oneshot service and a timer."""
    service, timer = (configparser.ConfigParser(delimiters="=") for _ in range(2))
    for parser in (service, timer):
        parser.optionxform = str
    first, second = blocks("ini")
    service.read_string(first)
    timer.read_string(second)

    assert service["Service"]["Type"] == "oneshot"
    require_batch(service["Service"]["ExecStart"].split())
    assert service["Service"]["SuccessExitStatus"] == "75"
    assert service["Service"]["Environment"].partition("=")[0] in VARIABLES
    assert timer["Timer"]["OnCalendar"]


def test_the_cronjob_starts_the_job():
    """The Kubernetes CronJob uses existing options and variables, and the image's user."""
    (text,) = blocks("yaml")
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    require_batch(["batch", *container["args"]])
    assert {one["name"] for one in container["env"]} <= VARIABLES
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounted.keys() == {one["name"] for one in pod["volumes"]}
    image = Path(__file__).parents[2].joinpath("Dockerfile").read_text("utf-8")
    assert f"--uid {pod['securityContext']['runAsUser']} " in image
    assert f"VOLUME {mounted['home']}\n" in image


def test_every_setting_of_the_page_exists():
    """Every environment variable on the page is a setting."""
    ignored = {"RECO_GATE_BOUNDS", "RECO_WHAT"}
    for name in set(re.findall(r"\bRECO_[A-Z_]+\b", PAGE)) - ignored:
        assert name in VARIABLES, name


def test_every_event_of_the_log_is_on_the_page(capsys):
    """Every event of the JSON log is on the page."""
    reporter = JsonReporter(open_log(Settings()))
    with reporter.stage("read"):
        reporter.info("x")
        reporter.report_finding("x")
        reporter.warn("x")

    for event in re.findall(r'"event": "([^"]+)"', capsys.readouterr().err):
        assert f"| `{event}` |" in PAGE
