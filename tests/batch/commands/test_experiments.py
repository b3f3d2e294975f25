"""`batch experiment`: start, show and end an experiment."""

import json
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import pytest

import reco_store.connection.embedded.server as embedded_server
from reco_batch.commands import experiments, run_commands
from reco_batch.commands.experiments import change_experiment, verdict_page
from reco_batch.commands.messages import arm_message
from reco_batch.commands.run_commands import promote_arm_command
from reco_batch.monitoring.run_outcome import Run
from reco_batch.settings.all_settings import Settings
from reco_batch.settings.target import Target
from reco_store import Keys, Published, Reader, StoreUnreachable, UsageError
from reco_store.control.experiments import end_experiment

NOW = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
change = partial(change_experiment, now=NOW)


@pytest.fixture
def arms(client, keys):
    """Return two namespaces with a live generation."""
    names = [keys.namespace, f"{keys.namespace}-b"]
    for name in names:
        client.set(Keys(name).current, "20261124T031502Z-7f3a")
    yield names
    client.delete(*(Keys(name).current for name in names))


def test_begin_show_end(server, client, keys, arms):
    """Readers assign users to the arms of an experiment until it is ended."""
    one, other = arms
    assert change(client, keys, None, (), end=False) == "no experiment"
    page = change(client, keys, "stars", [f"{one}=30", f"{other}=10"], end=False)
    assert page.splitlines() == ["experiment stars", f"{one}\t75.0%", f"{other}\t25.0%"]
    assert change(client, keys, None, (), end=False) == page
    with Reader(server.url, keys.namespace) as reader:
        assert {reader.assign(str(user)) for user in range(50)} == {one, other}
        assert reader.experiment().began == NOW.timestamp()
    assert change(client, keys, None, (), end=True) == "the experiment is over"
    assert change(client, keys, None, (), end=True) == "there was none"


def test_every_arm_must_be_live(client, keys, arms):
    """An experiment with an empty namespace is refused: its users would get no answer."""
    words = [f"{arms[0]}=1", f"{keys.namespace}-c=1"]
    with pytest.raises(UsageError, match=f"nothing is published under '{keys.namespace}-c'"):
        change(client, keys, "stars", words, end=False)
    assert client.get(keys.experiment) is None


@pytest.mark.parametrize(
    ("name", "arms", "end", "error"),
    [
        ("x", ["reco"], False, "expected NAMESPACE=SHARE"),
        ("x", ["reco=many", "b=1"], False, "expected NAMESPACE=SHARE"),
        ("x", ["reco=1"], False, "two namespaces or more"),
        ("x", [], True, "expected no name"),
    ],
)
def test_invalid_options(client, keys, name, arms, end, error):
    """The error names what was expected, and no experiment is stored."""
    with pytest.raises(UsageError, match=error):
        change(client, keys, name, arms, end=end)
    assert client.get(keys.experiment) is None


@pytest.fixture
def promoting(monkeypatch, server, client, keys, arms, tmp_path):
    """Return a function that promotes the second arm, whose artifact is published at once.

    It takes what happens when the experiment is ended, and returns the page and all steps.
    """
    monkeypatch.setattr(run_commands, "read_forgotten", lambda *_: None)
    steps = []
    target = Target(None, keys.namespace, tmp_path)  # an embedded store, which is saved

    def connected(run, target):
        run.lock, run.target = SimpleNamespace(client=client, keys=keys), target
        return run.lock

    def promote(*, meanwhile=lambda: None, end=end_experiment):
        def publish(*_, **__):
            meanwhile()
            return Published(client.get(Keys(arms[1]).current).decode(), "live", None)

        def ended(*place):
            steps.append("end")
            return end(*place)

        monkeypatch.setattr(Run, "connected", connected)
        monkeypatch.setattr(run_commands, "republish", publish)
        monkeypatch.setattr(experiments, "end_experiment", ended)
        monkeypatch.setattr(embedded_server, "save", lambda *_: steps.append("save"))
        published, is_over = promote_arm_command(Settings(quiet=True), target, arms[1])
        return arm_message(published, arms[1], arms[0], is_over=is_over)

    change(client, keys, "stars", [f"{one}=1" for one in arms], end=False)
    return promote, steps


def test_the_end_of_a_promoted_experiment_is_saved(client, keys, promoting):
    """A killed embedded server does not come back with it."""
    promote, steps = promoting

    assert "the experiment is over" in promote()

    assert steps[-2:] == ["end", "save"]
    assert client.get(keys.experiment) is None


def test_an_experiment_that_could_not_be_ended_is_not_reported_as_over(
    client, keys, promoting, capfd
):
    """The arm is live by then: the command succeeds, and prints what is left to do."""

    def lost(*_):
        raise StoreUnreachable("redis://there", "the connection was lost")

    page = promoting[0](end=lost)

    assert "is over" not in page
    assert "end it with `batch experiment --end`" in page
    assert "warning: ending the experiment failed: cannot use the store" in capfd.readouterr().err
    assert client.get(keys.experiment) is not None


def test_an_experiment_that_was_begun_meanwhile_goes_on(client, keys, arms, promoting):
    """Publishing takes minutes; only the experiment that was judged is ended."""

    def begin():
        change(client, keys, "next", [f"{one}=1" for one in arms], end=False)

    page = promoting[0](meanwhile=begin)

    assert "still splits the users" in page
    assert b"next" in client.get(keys.experiment)


def planted(client, keys, *, name="stars", **more):
    """Publish a manifest with the section of an experiment, which began now."""
    generation = "20261124T031502Z-7f3a"
    found = {
        "name": name,
        "began": int(NOW.timestamp()),
        "until": int(NOW.timestamp()) + 6 * 86_400,
        "days": 6.0,
        "arms": [
            {"namespace": keys.namespace, "users": 1_000, "interactions": 3_000, "rate": 0.5},
            {
                "namespace": f"{keys.namespace}-b",
                "users": 900,
                "interactions": 3_024,
                "rate": 0.56,
                "hindsight": {"served": {"ndcg@10": 0.081}},
            },
        ],
        "comparisons": [
            {
                "namespace": f"{keys.namespace}-b",
                "lift": 0.12,
                "lift_low": 0.041,
                "lift_high": 0.199,
                "verdict": "better",
                "needed": {"lift": 0.05, "users": 4_743, "interactions_a_day": 2_372},
            }
        ],
        **more,
    }
    manifest = {"schema": 1, "generation": generation, "created": NOW.isoformat(), "ids": "integer"}
    manifest |= {"entries": 0, "bytes": 0, "digest": "sha256:0", "experiment": found}
    client.set(keys.manifest(generation), json.dumps(manifest))


def test_the_verdict_is_that_of_the_last_run(client, keys, arms):
    """A line for each arm, the interval, and the users that a wanted effect needs."""
    one, other = arms
    assert verdict_page(client, keys, effect=0.05) == "no experiment"
    change(client, keys, "stars", [f"{one}=1", f"{other}=1"], end=False)
    planted(client, keys)

    head, control, arm, verdict, needed = verdict_page(client, keys, effect=0.1).splitlines()

    assert head == "experiment stars, 6.0 days to 2026-11-30"
    assert control == f"{one}\t1,000 users\t3,000 ratings\t0.5000 a user and day"
    assert arm.split("\t")[3:] == ["0.5600 a user and day", "NDCG@10 in hindsight 0.081"]
    assert verdict == (
        f"{other} is better than {one}: +12.0% (95 %: +4.1% to +19.9%) ratings a user and day, "
        "after 6.0 days"
    )
    assert needed == (
        f"{other}\tneeded to detect 10.0% with 80% power: 1,186 users, 593 ratings a day"
    )


def test_an_open_verdict_claims_no_equality(client, keys, arms):
    """Each other arm has a line."""
    one, other = arms
    change(client, keys, "stars", [f"{one}=1", f"{other}=1"], end=False)
    lift = {"lift": 0.12, "lift_low": -0.041, "lift_high": 0.3}
    others = [{"namespace": other, "verdict": "open"}, {"namespace": "c", "verdict": "open"} | lift]
    planted(client, keys, comparisons=others)

    first, second = verdict_page(client, keys, effect=0.05).splitlines()[3:]

    assert first == f"no difference between {other} and {one} is certain yet, after 6.0 days"
    assert second == (
        f"no difference between c and {one} is certain yet: +12.0% (95 %: -4.1% to +30.0%) "
        "ratings a user and day, after 6.0 days"
    )


def test_a_verdict_of_another_experiment_is_not_shown(client, keys, arms):
    """Until the next run there is none; a reason is shown as it is."""
    one, other = arms
    change(client, keys, "stars", [f"{one}=1", f"{other}=1"], end=False)
    planted(client, keys, name="earlier")
    assert "no verdict yet" in verdict_page(client, keys, effect=0.05)
    planted(client, keys, began=1)
    assert "no verdict yet" in verdict_page(client, keys, effect=0.05)
    planted(client, keys, arms=[], comparisons=[], not_measured="too early; begin it again")
    assert verdict_page(client, keys, effect=0.05).splitlines() == [
        "experiment stars",
        "not measured: too early; begin it again",
    ]


@pytest.mark.parametrize("effect", [0, -0.1, float("nan")])
def test_an_effect_is_above_zero(client, keys, effect):
    """The error names the option."""
    with pytest.raises(UsageError, match="--effect"):
        verdict_page(client, keys, effect=effect)
