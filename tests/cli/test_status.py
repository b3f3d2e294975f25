"""`reco status` of one namespace, of several side by side, and of the arms of an experiment."""

import json
import re

import pytest

from reco_store import Keys
from reco_store.contract.experiment import Experiment, checked_experiment
from reco_store.control.experiments import begin_experiment, end_experiment

STYLE = re.compile(r"\x1b\[[0-9;]*m")
ONE = {
    "retrieval": {"ndcg@10": 0.08124, "recall@100": 0.41},
    "popularity": {"ndcg@10": 0.0411, "recall@100": 0.2},
    "lists": {"coverage@10": 0.3},
    "popular_lists": {"coverage@10": 0.01},
    "rating": {"rmse": 0.871},
    "means": {"rmse": 0.9},
    "chosen": {"retrieval": {"neighbours.kind": "walk", "neighbour_share": 0.7}},
}
OTHER = {"retrieval": {"ndcg@10": 0.1}, "without_stars": True}
BOTH = ("--namespace", "one", "--namespace", "other")


@pytest.fixture(scope="module")
def duel(client, publish):
    """Publish two namespaces whose runs differ; return both generations."""
    refused = {"verdict": "forced", "warnings": ["a", "b"]}
    return (
        publish(client, "one", metrics=ONE, gate={"verdict": "passed", "warnings": []}),
        publish(client, "other", metrics=OTHER, gate=refused, bytes=12_345_678),
    )


@pytest.fixture
def experiment(client, duel):
    """Run an experiment of both, recorded in the first one."""
    begin_experiment(client, Keys("one"), checked_experiment("星", (("other", 1.0), ("one", 3.0))))
    yield
    end_experiment(client, Keys("one"))


def picture(ended):
    """Return the output, line by line, without colours."""
    return [line.rstrip() for line in STYLE.sub("", ended.out).splitlines()]


def test_a_column_for_each_namespace(terminal, duel):
    """In the order of the options; a row that only one has is kept, one that none has is not."""
    ended = terminal("status", *BOTH)
    assert picture(ended) == [
        "2 namespaces side by side",
        "  namespace       one                    other",
        f"  generation      {duel[0]}  {duel[1]}",
        "  age             3 hours                3 hours",
        "  users           5                      5",
        "  movies          18                     18",
        "  gate            passed                 forced, 2 warnings",
        "  NDCG@10         0.081                  0.100",
        "    most popular  0.041                  -",
        "  Recall@100      0.410                  -",
        "    most popular  0.200                  -",
        "  Coverage@10     30.0%                  -",
        "    most popular  1.0%                   -",
        "  RMSE            0.871                  -",
        "    means         0.900                  -",
        "  values          3.0 kB                 12.3 MB",
    ]
    assert (ended.code, ended.err) == (0, "")


def test_the_arms_of_an_experiment_need_not_be_named(terminal, duel, experiment):
    """Its own namespace comes first, and each column has its share of users."""
    shown = picture(terminal("status", RECO_NAMESPACE="one"))
    assert shown[:4] == [
        "Experiment 星: 2 namespaces side by side",
        "  namespace       one                    other",
        "  share           75.0% of users         25.0% of users",
        f"  generation      {duel[0]}  {duel[1]}",
    ]


def test_a_named_namespace_is_shown_alone(terminal, duel, experiment):
    """In full, with its share of the experiment that it records."""
    shown = picture(terminal("status", "--namespace", "one"))
    assert shown[0] == f"Generation {duel[0]} is live"
    facts = {" ".join(line.split()) for line in shown}
    assert "namespace one, 75.0% of users in experiment 星" in facts


def test_one_namespace_is_a_dozen_lines(terminal, reco, duel):
    """About twelve lines, on a terminal and in a pipe; --all and JSON have everything."""
    shown = picture(terminal("status", "--namespace", "one"))
    every = picture(terminal("status", "--namespace", "one", "--all"))

    facts = [" ".join(line.split()) for line in shown]
    assert len(shown) <= 12
    assert facts[0] == f"Generation {duel[0]} is live"
    assert {
        "gate passed",
        "NDCG@10 0.081 (most popular 0.041)",
        "Recall@100 0.410 (most popular 0.200)",
        "RMSE 0.871 (user and item means 0.900)",
    } <= set(facts)
    assert facts[-1] == "`reco status --all` shows every count, metric and setting."
    assert len(every) > len(shown)
    assert {"keys user 5", "keys movie 18", "chosen walk neighbours; shares: neighbours 0.7"} <= {
        " ".join(line.split()) for line in every
    }
    words = ("status", "--namespace", "one")
    assert len(reco(*words).rows) == 13
    assert len(reco(*words, "--all").rows) > 30
    assert json.loads(reco(*words, "--json").out).keys() == (
        json.loads(reco(*words, "--json", "--all").out).keys()
    )


VERDICT = {
    "name": "stars",
    "began": 1_700_000_000,
    "days": 6.25,
    "arms": [
        {"namespace": "control", "rate": 0.5},
        {"namespace": "variant", "rate": 0.56},
    ],
    "comparisons": [
        {
            "namespace": "variant",
            "lift": 0.12,
            "lift_low": 0.041,
            "lift_high": 0.199,
            "verdict": "better",
        }
    ],
}


@pytest.fixture
def judged(client, publish):
    """Run an experiment whose verdict is in the manifest of the namespace that records it."""
    publish(client, "control", experiment=VERDICT)
    publish(client, "variant")
    arms = (("control", 1.0), ("variant", 1.0))
    experiment = Experiment("stars", arms, VERDICT["began"])
    begin_experiment(client, Keys("control"), experiment)
    yield experiment
    end_experiment(client, Keys("control"))


def test_the_verdict_is_next_to_the_arms(terminal, reco, judged):
    """A rate for each arm, and the interval of the second one."""
    facts = [
        " ".join(line.split()) for line in picture(terminal("status", RECO_NAMESPACE="control"))
    ]
    assert [fact for fact in facts if fact.startswith(("daily", "diff", "95", "verdict"))] == [
        "daily ratings 0.5000 0.5600",
        "difference - +12.0%",
        "95 % - +4.1% to +19.9%",
        "verdict - better",
    ]
    alone = [
        " ".join(line.split()) for line in picture(terminal("status", "--namespace", "control"))
    ]
    assert any("variant is better than control: +12.0%" in line for line in alone)
    found = json.loads(reco("status", "--json", RECO_NAMESPACE="control").out)
    assert found["verdict"] == VERDICT


def test_a_verdict_on_an_earlier_experiment_is_not_shown(client, reco, judged):
    """It has the same name, and began earlier."""
    begin_experiment(client, Keys("control"), judged._replace(began=1_700_000_001))
    found = json.loads(reco("status", "--json", RECO_NAMESPACE="control").out)
    assert (found["experiment"], found["verdict"]) == ("stars", None)


def test_hindsight_is_a_fact(terminal, reco, client, publish):
    """Its figures are one line of the page, and an object in JSON."""
    past = {"users": 9, "interactions": 20, "served": {"ndcg@10": 0.2}, "by_age": [{"users": 9}]}
    past["popular"] = {"ndcg@10": 0.1}
    publish(client, "past", hindsight=past)
    words = ("status", "--namespace", "past")

    facts = {" ".join(line.split()) for line in picture(terminal(*words))}
    assert "hindsight NDCG@10 0.200 (most popular 0.100), 9 users, 20 ratings" in facts
    assert json.loads(reco(*words, "--json").out)["hindsight"] == past
    assert "hindsight.users\t9" in reco(*words, "--all").out


def test_columns_that_do_not_fit_are_a_second_block(terminal, duel):
    """Four columns of 21 cells on 80: two blocks, each with the names at its left."""
    shown = picture(terminal("status", *BOTH, "--namespace", "reco", "--namespace", "absent"))
    assert [line for line in shown if "namespace  " in line] == [
        "  namespace       one                    other",
        "  namespace       reco                   absent",
    ]
    assert shown.count("") == 1


def test_in_a_pipe_a_line_has_a_field_for_each(reco, duel):
    """The names are those of a single namespace; an absent value is an empty field."""
    values = {name: fields for name, *fields in reco("status", *BOTH, "--all").rows}
    alone = {name for name, *_ in reco("status", "--namespace", "one").rows}
    assert alone <= values.keys()
    assert values["namespace"] == ["one", "other"]
    assert values["generation"] == list(duel)
    assert values["metrics.rating.rmse"] == ["0.871", ""]
    assert values["metrics.without_stars"] == ["", "true"]
    assert {len(fields) for fields in values.values()} == {2}


def test_an_object_for_each(reco, duel, experiment):
    """The first one is the object of a single namespace; the others are in `beside`."""
    found = json.loads(reco("status", "--json", RECO_NAMESPACE="one").out)
    beside = found.pop("beside")
    assert [part["namespace"] for part in (found, *beside)] == ["one", "other"]
    assert [part["generation"] for part in (found, *beside)] == list(duel)
    assert [part["share"] for part in (found, *beside)] == [0.75, 0.25]
    assert {part["experiment"] for part in (found, *beside)} == {"星"}
    assert found.keys() == beside[0].keys()


def test_each_namespace_has_its_own_experiment(terminal, reco, client, publish, duel, experiment):
    """Two experiments have a row; a namespace without one has an empty field."""
    apart = checked_experiment("moon", (("third", 1.0), ("fourth", 1.0)))
    for namespace in ("third", "fourth", "alone"):
        publish(client, namespace)
    begin_experiment(client, Keys("third"), apart)
    words = [word for name in ("one", "third", "alone") for word in ("--namespace", name)]
    try:
        first = json.loads(reco("status", *words, "--json").out)
        shown = picture(terminal("status", *words))
    finally:
        end_experiment(client, Keys("third"))
    found = {
        part["namespace"]: (part["experiment"], part["share"]) for part in (first, *first["beside"])
    }
    assert found == {"one": ("星", 0.75), "third": ("moon", 0.5), "alone": (None, None)}
    assert shown[0] == "3 namespaces side by side"
    lines = [line.split()[1:] for line in shown if line.startswith("  experiment")]
    assert [name for names in lines for name in names] == ["星", "moon", "-"]


def test_an_arm_may_record_its_own_experiment(reco, client, duel, experiment):
    """A namespace's own experiment takes precedence over one that it is an arm of."""
    begin_experiment(client, Keys("other"), checked_experiment("own", (("other", 1), ("x", 1))))
    try:
        found = json.loads(reco("status", "--json", RECO_NAMESPACE="one").out)
        rows = {name: fields for name, *fields in reco("status", RECO_NAMESPACE="one").rows}
    finally:
        end_experiment(client, Keys("other"))
    (other,) = found["beside"]
    assert (found["experiment"], found["share"]) == ("星", 0.75)
    assert (other["experiment"], other["share"]) == ("own", 0.5)
    assert rows["experiment"] == ["星", "own"]


def test_one_that_is_not_published_does_not_hide_the_others(terminal, reco, duel):
    """Its column reports that, and the exit code is that of its error."""
    words = ("status", "--namespace", "absent", "--namespace", "one")
    ended = terminal(*words)
    shown = picture(ended)
    assert shown[1:4] == [
        "  namespace       absent             one",
        f"  generation      nothing published  {duel[0]}",
        "  age             -                  3 hours",
    ]
    assert ended.code == 5
    assert ended.err.startswith("error: nothing is published under the namespace 'absent'")

    first = json.loads(reco(*words, "--json").out)
    assert first["generation"] is first["counts"] is first["gate"] is None
    assert "nothing is published" in first["errors"][0]
    assert (first["beside"][0]["generation"], first["beside"][0]["errors"]) == (duel[0], [])


def test_when_none_is_published_that_is_all(reco):
    """Nothing on standard output, as with one namespace."""
    ended = reco("status", "--namespace", "absent", "--namespace", "nowhere")
    assert (ended.code, ended.out) == (5, "")
    assert "namespace 'absent'" in ended.err


def test_in_a_pipe_every_error_is_reported(reco, duel):
    """The first one ends the command; the others are notes before it."""
    absent = ("--namespace", "absent", "--namespace", "nowhere")
    ended = reco("status", "--namespace", "one", *absent)
    note, error = ended.err.splitlines()
    assert note.startswith("note: nothing is published under the namespace 'nowhere'")
    assert error.startswith("error: nothing is published under the namespace 'absent'")
    assert (ended.code, dict(row[:2] for row in ended.rows)["generation"]) == (5, duel[0])


def test_one_that_may_not_be_read_does_not_hide_the_others(terminal, client, server, duel):
    """An account with access to one namespace sees that one; the other's error follows."""
    keys = ["%R~{one}:*", "%R~one:*"]
    client.acl_setuser("narrow", enabled=True, passwords=["+x"], categories=["+@all"])
    client.execute_command("ACL", "SETUSER", "narrow", "resetkeys", *keys)
    try:
        ended = terminal("status", *BOTH, "--redis-url", f"{server}?username=narrow&password=x")
    finally:
        client.acl_deluser("narrow")
    shown = picture(ended)
    assert shown[2] == f"  generation      {duel[0]}  cannot be read"
    assert sum(line.startswith("Note: ") for line in shown) == 1  # its experiment, neither
    assert ended.code == 3
    assert "may not use one of the keys" in ended.err


def test_a_damaged_experiment_does_not_hide_what_is_live(reco, client, duel):
    """Everything else is printed; then the damage, with its exit code."""
    client.set(Keys("one").experiment, b"[]")
    try:
        ended = reco("status", RECO_NAMESPACE="one")
    finally:
        client.delete(Keys("one").experiment)
    assert dict(ended.rows)["generation"] == duel[0]
    assert ended.code == 5
    assert "batch experiment --end" in ended.err
