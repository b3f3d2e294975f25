"""Section of a report on the hyper-parameters that the run chose."""

from reco_batch.report.chosen import TriedRow, chosen_view


def entry(name, values, ndcg, recall):
    """Return an entry of the manifest; metrics at other cutoffs are not shown."""
    metrics = {"recall@10": 0.01, "ndcg@10": ndcg, "recall@100": recall, "ndcg@100": 0.5}
    return {"name": name, "values": values, **metrics}


TRIED = [
    entry("neighbours.kind", {"neighbours.kind": "slim"}, 0.1664, 0.4),
    entry("neighbours.kind", {"neighbours.kind": "ordered"}, 0.1751, 0.41),
    entry("recency", {"recency": 0.0}, 0.1751, 0.41),
    entry("days, share", {"days": 30, "share": 0.0}, 0.18, 0.42),
    entry("days, share", {"days": 7, "share": 2.0}, 0.19, 0.43),
    entry("chosen lists", {}, 0.19, 0.43),
    entry("most popular", {}, 0.09, 0.2),
]
VALUES = {"neighbours.kind": "ordered", "recency": 0.0, "days": 7, "share": 2.0, "tower.l2": 8.0}


def manifest(**chosen):
    """Return a manifest with a choice."""
    return {"metrics": {"chosen": {"retrieval": VALUES, "tried": TRIED, **chosen}}}


def test_each_step_has_its_alternatives():
    """The chosen value has its metrics, and each other value its own, in the order of trial."""
    view = chosen_view(manifest(), None)

    assert view.metrics == ["NDCG@10", "Recall@100"]
    rows = {row.name: row for row in view.rows}
    kind, both = rows["neighbours.kind"], rows["days, share"]
    assert (kind.chosen, kind.metrics) == ("ordered", ["0.175", "0.410"])
    assert kind.others == [TriedRow("slim", ["0.166", "0.400"])]
    assert (both.chosen, both.others) == ("7, 2", [TriedRow("30, 0", ["0.180", "0.420"])])
    assert rows["recency"].others == []
    assert view.lists == [
        TriedRow("chosen lists", ["0.190", "0.430"]),
        TriedRow("most popular", ["0.090", "0.200"]),
    ]


def test_of_many_values_the_best_are_shown():
    """A step of two or three hyper-parameters has a value for each combination."""
    tried = [entry("share", {"share": share / 10}, share / 100, 0.4) for share in range(21)]

    view = chosen_view(manifest(tried=tried), None)

    (row,) = (row for row in view.rows if row.name == "share")
    assert (row.chosen, row.metrics) == ("2", ["0.200", "0.400"])
    assert [other.value for other in row.others] == [f"{n / 10:g}" for n in range(19, 9, -1)]
    assert row.not_shown == 10


def test_a_value_that_was_not_measured_has_a_row():
    """A parameter file sets it, or nothing was measured."""
    (row,) = (row for row in chosen_view(manifest(), None).rows if row.name == "tower.l2")

    assert (row.chosen, row.metrics, row.others) == ("8", [], [])
    assert len(chosen_view(manifest(tried=[]), None).rows) == len(VALUES)


def test_the_value_of_the_last_run_is_shown_if_it_differs():
    """A last run without the value has none."""
    before = manifest(retrieval={"neighbours.kind": "walk", "recency": 0.0})

    found = {row.name: row.before for row in chosen_view(manifest(), before).rows}

    assert found == {"neighbours.kind": "walk", "recency": "", "days, share": "", "tower.l2": ""}


def test_giving_way_to_popularity_is_a_row_and_a_note():
    """The share that was enough is the chosen one of that step."""
    way = "give way to popularity"
    tried = [*TRIED, *(entry(way, {"share": share}, share, share) for share in (0.3, 2.0))]

    view = chosen_view(manifest(tried=tried, notes=["lists were worse"]), None)

    (row,) = (row for row in view.rows if row.name == way)
    assert (row.chosen, row.metrics) == ("2", ["2", "2"])
    assert row.others == [TriedRow("0.3", ["0.300", "0.300"])]
    assert view.notes == ["lists were worse"]


def test_a_run_without_a_choice_has_no_section():
    """Manifests of earlier versions, and of other presets."""
    assert chosen_view({"metrics": {}}, None) is None
    assert chosen_view(manifest(retrieval={}), None) is None
    assert chosen_view(manifest(tried="x", notes=3), {"metrics": 3}).lists == []
