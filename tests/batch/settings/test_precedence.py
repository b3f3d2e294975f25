"""Option before environment before file before default, and errors that name the origin."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_batch.settings.all_settings import Settings
from reco_batch.settings.precedence import (
    SETTINGS,
    dotted,
    lines_of,
    masked,
    read_settings,
    variable,
)
from reco_batch.settings.setting_metadata import choices
from reco_store import UsageError

SECRET = "Hunter2"  # noqa: S105  # opens nothing


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path):
    """Start in an empty folder without any of our variables."""
    for name in (*map(variable, SETTINGS), "RECO_CONFIG", "RECO_GATE_BOUNDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path):
    """Write a file of settings under another name than reco.toml."""

    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def values_of(resolved):
    """Return the value of each setting by its dotted name."""
    return dotted(resolved.settings.model_dump())


def test_every_setting_has_a_default():
    """Without options, variables and file, no setting has an origin."""
    resolved = read_settings({"k": None, "gate_bound": None})

    assert resolved.settings == Settings()
    assert (resolved.origins, resolved.file) == ({}, None)


def test_each_source_overrides_the_next(file, monkeypatch):
    """An option overrides a variable, which overrides the file; each value has its origin."""
    path = file("k = 1\nseed = 1\nkeep = 1\n[gate]\nchurn = 0.1\nshrink = 0.1\nalike = 0.1\n")
    for name in ("RECO_K", "RECO_SEED", "RECO_GATE_CHURN", "RECO_GATE_SHRINK"):
        monkeypatch.setenv(name, "0.2" if "GATE" in name else "2")

    resolved = read_settings({"k": "3", "gate_bound": ["churn=0.3"]}, path)

    settings, gate = resolved.settings, resolved.settings.gate
    assert (settings.k, settings.seed, settings.keep, settings.popular_n) == (3, 2, 1, 100)
    assert (gate.churn, gate.shrink, gate.alike) == (0.3, 0.2, 0.1)
    assert {name: origin.place for name, origin in resolved.origins.items()} == {
        "k": "--k",
        "seed": "RECO_SEED",
        "keep": f"{path}:3",
        "gate.churn": "--gate-bound",
        "gate.shrink": "RECO_GATE_SHRINK",
        "gate.alike": f"{path}:7",
    }


def test_one_variable_may_contain_several_thresholds(monkeypatch):
    """The variable of a single threshold overrides RECO_GATE_BOUNDS."""
    monkeypatch.setenv("RECO_GATE_BOUNDS", "churn=0.1 shrink=0.2")
    monkeypatch.setenv("RECO_GATE_CHURN", "0.3")

    gate = read_settings({}).settings.gate

    assert (gate.churn, gate.shrink) == (0.3, 0.2)


def test_environment_and_file_set_every_setting(file, monkeypatch):
    """Both accept the names in the template of `batch init`, and yield the same value."""
    values = {
        "refit": True,
        "split_date": "2018-01-01",
        "redis_url": "redis://h:1",
        "ranked_k": 7,
        "ranked_candidates": 7,
        "rating_threshold": 7,
        "trending_days": 7,
        "trending_half_life": 3,
        "new_days": 7,
        "max_unknown_ratings": 0.25,
        "rating_scale": "1:7",
        "threads": 7,
        "trainings": 1,
        "encoding": "latin-1",
        "quiet": True,
        "resume": True,
        "because": False,
        "notify.url": "http://h/x",
        "notify.command": "a b",
        "rules.only": '[{"column": "brand", "values": ["acme"]}]',
        "rules.never": '[{"column": "price", "at_most": 5}]',
        "rules.boost": '[{"column": "price", "at_least": 5, "by": 0.5}]',
        "rules.cap": '[{"column": "brand", "at_most": 3}]',
        "rules.new": '{"share": 0.1}',
        "rules.diversity": 0.25,
        "rules.seen": "after 30 days",
        "input.events": "view=1, add to cart=3",
        "input.max_strength": 7,
        "input.half_life": 7,
    }
    values |= {name: 0.25 for name in SETTINGS if name.startswith("gate.")}
    for name, field in SETTINGS.items():
        number = field.annotation in (int, float)
        words = [word for word in choices(field) if word != field.default]
        value = values.get(name, 7 if number else words[-1] if words else "x")
        if name == "split_date":
            monkeypatch.setenv("RECO_SPLIT", "global")  # without which it is refused
        if name == "stand_in":
            monkeypatch.setenv("RECO_TRENDING_DAYS", "7")  # likewise
        monkeypatch.setenv(variable(name), str(value))
        by_environment = values_of(read_settings({}))[name]
        monkeypatch.delenv(variable(name))

        table, dot, inner = name.rpartition(".")
        spelled = str(value).lower() if isinstance(value, bool | int | float) else f"'{value}'"
        text = (f"[{table}]\n" if dot else "") + f"{inner} = {spelled}\n"
        by_file = values_of(read_settings({}, file(text)))[name]

        assert by_environment == by_file != field.default, name


def test_an_empty_variable_is_ignored(file, monkeypatch):
    """A cron line may set an empty variable. An empty option is a value."""
    path = file('redis_url = "redis://h:1"')
    monkeypatch.setenv("REDIS_URL", "")

    assert read_settings({}, path).settings.redis_url == "redis://h:1"
    assert read_settings({"redis_url": ""}, path).settings.redis_url == ""


def test_three_ways_to_name_the_file(file, monkeypatch):
    """`--config` overrides RECO_CONFIG, which overrides reco.toml in the working folder."""
    here, named, given_one = (file(f"k = {n}", f"{n}.toml") for n in (1, 2, 3))
    here.rename("reco.toml")
    assert read_settings({}).settings.k == 1
    monkeypatch.setenv("RECO_CONFIG", str(named))
    assert read_settings({}).settings.k == 2
    assert read_settings({}, given_one).settings.k == 3


def test_a_named_file_must_exist(monkeypatch):
    """A misspelt name must not lead to a run with default settings."""
    with pytest.raises(UsageError, match=r"^--config 'no.toml': expected a file; `batch init"):
        read_settings({}, Path("no.toml"))
    monkeypatch.setenv("RECO_CONFIG", "no.toml")
    with pytest.raises(UsageError, match=r"^RECO_CONFIG 'no.toml': expected a file"):
        read_settings({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k = 0", "{}:1: k = 0: expected a whole number from 1"),
        ("\n# k = 5\nk = 2.5\n", "{}:3: k = 2.5: expected a whole number from 1"),
        ("rating_scale = [\n1,\n1]", "{}:1: rating_scale = [1, 1]: expected LOW:HIGH, two"),
        ("[gate]\nchurn = 2", "{}:2: gate.churn = 2: expected a number from 0 to 1"),
        ("[tune]\nmodel = 'x'", "{}:2: tune.model = 'x': expected retrieval, rating or both"),
        ("kepe = 1", "{}:1: kepe is not known; the nearest known one is keep. `batch init -`"),
        ("churn = 1", "{}:1: churn is not known; the nearest known one is gate.churn."),
        ("url = 'x'", "{}:1: url is not known; the nearest known one is notify.url."),
        ("[gate]\nchrun = 1", "{}:2: gate.chrun is not known; the nearest known one is gate.churn"),
        (
            "[input.event]\nx = 1",
            "{}:1: input.event is not known; the nearest known one is input.events.",
        ),
        ("[gates]\nx = 1", "{}:1: gates is not known; the nearest known one is "),
        ("gate = 1", "{}:1: gate = 1: expected a table [gate]"),
        ("[k]\nx = 1", "{}:1: k = {'x': 1}: expected a whole number from 1"),
        ("k = ", "{}: is not TOML (Invalid value (at end of document)); texts need quotes, such"),
    ],
)
def test_file_errors_name_the_line(file, text, message):
    """An error has file, line, key and value, and what was expected."""
    path = file(text)

    with pytest.raises(UsageError) as refused:
        read_settings({}, path)

    assert str(refused.value).startswith(message.replace("{}", str(path)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RECO_K", "x", "RECO_K 'x': expected a whole number from 1"),
        ("RECO_GATE_CHURN", "2", "RECO_GATE_CHURN '2': expected a number from 0 to 1"),
        ("RECO_GATE_CHRUN", "1", "RECO_GATE_CHRUN is not known; the nearest known one is RECO_GA"),
        ("RECO_GATE_BOUNDS", "churn=2", "RECO_GATE_BOUNDS churn=2: expected a number from 0 to 1"),
        ("RECO_GATE_BOUNDS", "x=2", "RECO_GATE_BOUNDS 'x=2': expected NAME=VALUE, where NAME is"),
    ],
)
def test_environment_errors_name_the_variable(monkeypatch, name, value, message):
    """An error has variable and value, and what was expected."""
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError) as refused:
        read_settings({})

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("value", ["x", "1", "{}", "tcp://10.0.0.1:80"])
@pytest.mark.parametrize("name", ["RECO_GATE", "RECO_TUNE", "RECO_NOTIFY"])
def test_a_table_has_no_variable(monkeypatch, name, value):
    """Only its keys have variables; the error suggests one."""
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=rf"^{name} is not known; the nearest .* {name}_\w+\. "):
        read_settings({})


@pytest.mark.parametrize("service", ["RECO", "RECO_GATE", "RECO_TUNE", "RECO_HOME", "RECO_DATA"])
def test_variables_of_kubernetes_are_ignored(monkeypatch, service):
    """Kubernetes sets them in every container for every Service, whatever its name."""
    monkeypatch.setenv(f"{service}_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv(f"{service}_SERVICE_PORT", "80")
    monkeypatch.setenv(f"{service}_SERVICE_PORT_HTTP", "80")
    monkeypatch.setenv(f"{service}_PORT", "tcp://10.0.0.1:80")
    for last in ("", "_PROTO", "_PORT", "_ADDR"):
        monkeypatch.setenv(f"{service}_PORT_80_TCP{last}", "x")

    assert read_settings({}).origins == {}


@pytest.mark.parametrize("name", ["redis_url", "Reco_K", "reco_gate_bounds", "RECO_gate_churn"])
def test_only_names_in_capitals_count(monkeypatch, name):
    """`reco` ignores other spellings too, so both commands use the same store."""
    monkeypatch.setenv(name, "redis://other:1")

    assert read_settings({}).origins == {}


def test_blanks_around_a_variable_are_removed(file, monkeypatch):
    """Files with foreign line ends leave carriage returns. A blank variable is ignored."""
    monkeypatch.setenv("RECO_HOME", "/srv/reco\r")
    monkeypatch.setenv("RECO_K", " 7 ")
    monkeypatch.setenv("RECO_NAMESPACE", " \r\n")
    monkeypatch.setenv("RECO_GATE_BOUNDS", "churn=0.1\r")
    monkeypatch.setenv("RECO_CONFIG", f"{file('keep = 5')}\r")

    settings = read_settings({}).settings

    assert (settings.home, settings.k, settings.keep) == (Path("/srv/reco"), 7, 5)
    assert (settings.namespace, settings.gate.churn) == ("reco", 0.1)


@pytest.mark.parametrize("namespace", ["a.b", "A", "-a", "a" * 33])
def test_namespaces_follow_the_key_contract(monkeypatch, namespace):
    """The error contains the words of the help."""
    monkeypatch.setenv("RECO_NAMESPACE", namespace)

    with pytest.raises(UsageError, match=r"^RECO_NAMESPACE .*: expected 1 to 32 of a-z, 0-9, _ -"):
        read_settings({})


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_found_file_that_others_may_write_is_refused(file, mode):
    """A found file could name a command to run. A file that is named is trusted."""
    found = file('[notify]\ncommand = ["touch", "x"]', "reco.toml")
    found.chmod(mode)

    with pytest.raises(UsageError, match=r"may be written by other accounts.*--config reco\.toml"):
        read_settings({})
    assert read_settings({}, found).settings.notify.command == ("touch", "x")
    found.chmod(0o644)
    assert read_settings({}).settings.notify.command == ("touch", "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("link", [False, True])
def test_found_file_of_another_account_is_refused(file, monkeypatch, link):
    """The owner of the file, or of a link to it, may change its content."""
    found = file("k = 1", "other.toml" if link else "reco.toml")
    if link:
        Path("reco.toml").symlink_to(found)
    os.chown("reco.toml", 65534, 65534, follow_symlinks=False)

    with pytest.raises(UsageError, match=r"belongs to another account \(user id 65534\)"):
        read_settings({})
    monkeypatch.setenv("RECO_CONFIG", "reco.toml")
    assert read_settings({}).settings.k == 1


@pytest.mark.parametrize(
    ("value", "command", "url"),
    [
        ("mail -s 'it failed' me", ("mail", "-s", "it failed", "me"), None),
        ("https://h/x", (), "https://h/x"),
    ],
)
def test_on_failure_is_a_command_or_an_address(file, value, command, url):
    """In both cases the option replaces command and address of the file."""
    path = file('[notify]\ncommand = ["other"]\nurl = "https://other/"\n')

    notify = read_settings({"on_failure": value}, path).settings.notify

    assert (notify.command, notify.url) == (command, url)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f'redis_url = ["redis://u:{SECRET}@h"]', "redis_url"),
        (f'[notify]\nurl = "ftp://h/{SECRET}"', "notify.url"),
        (f'[notify]\ncommand = ["curl", 5, "{SECRET}"]', "notify.command"),
    ],
)
def test_no_error_shows_a_secret(file, text, name):
    """The value is masked even if the secret is not what is wrong with it."""
    with pytest.raises(UsageError, match=name) as refused:
        read_settings({}, file(text))

    assert SECRET not in str(refused.value)


def test_no_repr_shows_a_secret(file):
    """Settings may appear in a traceback."""
    text = f'redis_url = "redis://u:{SECRET}@h"\n[notify]\nurl = "https://h/{SECRET}"\n'
    text += f'command = ["curl", "{SECRET}"]\n'

    assert SECRET not in repr(read_settings({}, file(text)))


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_masking_accepts_any_text(text):
    """Even a text that is no address is shown without its path."""
    assert SECRET not in str(masked("notify.url", f"{text}/{SECRET}"))
    assert SECRET not in str(masked("notify.command", f"{text} {SECRET}"))


def test_only_keys_have_lines():
    """Text that looks like a key inside a string, a list or a comment is none."""
    text = '''# k = 1
a = """
k = 2
"""
b = [
  "k = 3",
]

[gate]  # of churn
# churn = 1
churn = 0.5
notify.x = 1
'''
    assert lines_of(text) == {"a": 2, "b": 5, "gate.churn": 11, "gate.notify": 12}


def test_the_input_is_a_table_in_which_columns_are_a_table(file, monkeypatch):
    """Places and columns have an origin each, from options, variables and the file."""
    path = file(
        '[input]\nratings = "a.csv"\nitems = "b.csv"\n[input.columns]\nuser = "u"\nid = "i"'
    )
    monkeypatch.setenv("RECO_INPUT_COLUMNS_USER", "customer")

    resolved = read_settings({"items": "c.csv", "column": ["tags=brand,kind"]}, path)

    places = resolved.settings.input
    assert (places.ratings, places.items) == ("a.csv", "c.csv")
    assert (places.columns.user, places.columns.id) == ("customer", "i")
    assert places.columns.tags == ("brand", "kind")
    assert resolved.origins["input.columns.id"].place == f"{path}:6"
    with pytest.raises(UsageError, match=r"--column 'usr=x': expected NAME=COLUMN, where NAME is"):
        read_settings({"column": ["usr=x"]})
    with pytest.raises(UsageError, match=r":2: input.columns.usr is not known; the nearest known"):
        read_settings({}, file('[input.columns]\nusr = "x"'))


@pytest.mark.parametrize("name", ["data", "input.ratings", "input.items"])
def test_an_address_of_the_input_is_masked(name):
    """The login of an address is never shown."""
    address = f"postgresql://reader:{SECRET}@db/shop"

    assert masked(name, address) == "postgresql://***@db/shop"
