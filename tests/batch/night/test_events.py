"""Events of a shop: views, carts and purchases make one generation."""

import json
from collections import defaultdict

import numpy as np
import pytest

from planted_events import planted_events, write_events
from real_servers import running_server
from reco_batch.artifact.folder import open_artifact
from reco_store import Reader, connect
from reco_store.contract.families import BECAUSE, SEEN, USER
from resumed_nights import KEYS, NAMESPACE, ResumedNights, artifact

WEIGHTS = ("--event", "view=1", "--event", "cart=3", "--event", "purchase=5")
EVENTS = ("--column", "event=kind", *WEIGHTS, "--seen-events", "purchase")


@pytest.fixture(scope="module")
def events():
    """Events and products."""
    return planted_events()


@pytest.fixture(scope="module")
def shop(events, tmp_path_factory):
    """Folder of 300 customers."""
    return write_events(tmp_path_factory.mktemp("shop"), *events)


@pytest.fixture(scope="module")
def of_kind(events):
    """Items of each user, by kind of event."""
    found = defaultdict(lambda: defaultdict(set))
    for user, item, kind, _ in events[0]:
        found[kind][user].add(item)
    return found


@pytest.fixture(scope="module")
def nights(shop):
    """Runs of the shop on a server of their own."""
    with running_server() as url:
        yield ResumedNights(shop, url)


@pytest.fixture(scope="module")
def home(nights, tmp_path_factory):
    """Home of a run that went live."""
    home = tmp_path_factory.mktemp("home")
    code, messages = nights.run(home, *EVENTS)
    assert code == 0, messages
    nights.require_live(home)
    return home


def lists(home, family):
    """Return the lists of a family by user."""
    folder = artifact(home)
    found = {}
    for batch in open_artifact(folder.parent, folder.name).lists(family):
        columns = batch.to_pydict()
        found |= dict(zip(columns["suffix"], columns["movieIds"], strict=True))
    return {key.partition(":")[2]: ids for key, ids in found.items()}


@pytest.mark.slow
def test_no_purchased_item_is_in_a_list_and_viewed_ones_are(home, of_kind):
    """Only purchases are seen; explanations and histories have no other items."""
    user, seen, because = (lists(home, family) for family in (USER, SEEN, BECAUSE))

    assert len(user) == 300
    viewed = 0
    for name, shown in user.items():
        assert not of_kind["purchase"][name].intersection(shown)
        assert set(seen[name]) == of_kind["purchase"][name]
        assert of_kind["purchase"][name].issuperset(filter(None, because[name]))
        viewed += len(of_kind["view"][name].intersection(shown[:20]))
    assert viewed > 300


@pytest.mark.slow
def test_the_manifest_has_the_kinds_and_the_gate_counts_histories(home, nights):
    """The weights are recorded, and only purchases are held out."""
    with connect(nights.url) as client:
        manifest = json.loads(client.get(KEYS.manifest(artifact(home).name)))

    assert manifest["parameters"]["events"] == {
        "weights": {"view": 1, "cart": 3, "purchase": 5},
        "most": 5,
        "half_life": None,
        "seen": ["purchase"],
        "target": ["purchase"],
    }
    assert manifest["data"]["seen"] == 300 * 12
    assert manifest["data"]["test"] == 300 * 12 // 5
    assert manifest["gate"]["checks"]["seen.ratings"]["figure"] == 300 * 12
    assert manifest["data"]["findings"][0].startswith("25,253 events (19,824 view, 3,600 purch")


@pytest.mark.slow
def test_readers_show_what_was_bought(home, nights, of_kind):
    """Histories and popularity count purchases, and no view."""
    buyers = sum("p3" in own for own in of_kind["purchase"].values())

    with Reader(nights.url, namespace=NAMESPACE) as reader:
        assert set(reader.seen("c7")) == of_kind["purchase"]["c7"]
        (item,) = [one for one in reader.popular(n=150).items if one.movie_id == "p3"]
        answer = reader.user("c7", n=20, why=True).items
    assert item.score == buyers
    reasons = {one.because.movie_id for one in answer if one.because}
    assert reasons
    assert reasons <= of_kind["purchase"]["c7"]


@pytest.mark.slow
def test_weights_make_better_lists_than_counting_all_alike(shop, home, tmp_path):
    """Both predict purchases; the views of the planted shop are mostly noise."""
    words = ("--column", "event=kind", "--seen-events", "purchase", "--target-events", "purchase")
    alike = (word for kind in ("view", "cart", "purchase") for word in ("--event", f"{kind}=1"))
    with running_server() as url:
        code, messages = ResumedNights(shop, url).run(tmp_path, *words, *alike)
    assert code == 0, messages

    weighed, counted = (
        json.loads((artifact(one) / "manifest.json").read_text("utf-8"))["metrics"]["retrieval"]
        for one in (home, tmp_path)
    )
    assert weighed["ndcg@10"] > 1.05 * counted["ndcg@10"]
    assert weighed["recall@20"] > counted["recall@20"]


@pytest.mark.slow
def test_equal_weights_give_the_bytes_of_a_table_without_kinds(events, tmp_path):
    """Repeated events of a pair count once in both."""
    rows, products = events
    some = [row for row in rows if int(row[0][1:]) < 60]
    kinds = write_events(tmp_path / "kinds", some, products)
    plain = write_events(tmp_path / "plain", some, products)
    table = (kinds / "ratings.csv").read_text().splitlines()
    cut = (",".join(np.delete(line.split(","), 2)) for line in table)
    (plain / "ratings.csv").write_text("\n".join(cut) + "\n")
    words = ("--column", "event=kind", "--event", "view=2", "--event", "cart=2")

    digests = []
    for folder, options in ((plain, ()), (kinds, (*words, "--event", "purchase=2"))):
        home = tmp_path / f"home-{folder.name}"
        with running_server() as url:
            code, messages = ResumedNights(folder, url).run(home, *options)
        assert code == 0, messages
        manifest = json.loads((artifact(home) / "manifest.json").read_text("utf-8"))
        digests.append(manifest["digest"])

    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--column", "event=kind"), 2, "input.columns.event is 'kind', and no kind of event has"),
        (("--event", "view=0"), 2, "--event view=0: expected a weight for each kind, a number"),
        ((*EVENTS, "--half-life", "0"), 2, "--half-life '0': expected a number of days above 0"),
        ((*EVENTS, "--target-events", "buy"), 2, "input.target_events has 'buy'; expected kinds"),
        ((*EVENTS[:2], "--event", "view=1"), 4, "ratings.csv: the kinds of events are 'view' ("),
        ((*EVENTS, "--event", "gift=9"), 4, "and no row is 'gift', which is to be predicted"),
    ],
)
def test_settings_and_tables_that_do_not_fit_are_refused(refused, shop, words, code, message):
    """In one line, and what is served stays as it is."""
    assert message in refused("run", "--data", shop, *words, code=code)


def test_times_of_kinds_must_be_of_known_kinds(refused, shop, tmp_path):
    """A table [rules.seen] is checked against [input.events]."""
    file = tmp_path / "reco.toml"
    file.write_text('[rules.seen]\nbuy = "allowed"\n')

    assert "rules.seen has 'buy'; expected kinds of [input.events], which has 'view'" in refused(
        *("run", "--data", shop, "--config", file, *EVENTS), code=2
    )
