"""`batch check-data`: all problems at once, what was understood, and a suggested [input]."""

import tomllib

import pytest
from typer.testing import CliRunner

from reco_batch.commands.app import app

ORDERS = "customer_id,sku,stars,created_at\n7,A,5,2024-05-01\n8,B,4,2024-05-02\n7,B,3,2024-05-03\n"
PRODUCTS = (
    "id,sku,name,category,price,launched_at,discontinued\n"
    "1,A,Apple,food,1.5,2024-01-01,\n2,B,Ball,toys,12,2023-01-01,yes\n"
)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Write both tables, run the command on them, and return its exit code and its page."""
    monkeypatch.chdir(tmp_path)

    def run(orders, products, *options, settings=""):
        (tmp_path / "orders.csv").write_text(orders)
        (tmp_path / "products.csv").write_text(products)
        (tmp_path / "reco.toml").write_text(settings)
        places = ["--ratings", "orders.csv", "--items", "products.csv"]
        result = CliRunner().invoke(app, ["check-data", *places, *options])
        return result.exit_code, result.output

    return run


def test_the_suggestion_is_what_fits(check):
    """The suggested [input] of tables with other names makes the same command succeed."""
    code, page = check(ORDERS, PRODUCTS)

    assert code == 4
    assert "problem 1: orders.csv, line 1" in page
    assert "problem 2: products.csv, line 1" in page
    suggested = page.partition("suggested for reco.toml:")[2].partition("problem 1")[0]
    assert tomllib.loads(suggested)["input"] == {
        "ratings": "orders.csv",
        "items": "products.csv",
        "columns": {
            "user": "customer_id",
            "item": "sku",
            "rating": "stars",
            "time": "created_at",
            "title": "name",
            "tags": ["category"],
            "released": "launched_at",
            "available": "!discontinued",
        },
    }

    code, page = check(ORDERS, PRODUCTS, settings=suggested)

    assert code == 0
    assert "available  !discontinued  1 of 2" in page
    assert "time    created_at   2024-05-01 00:00 to 2024-05-03 00:00" in page
    assert "attribute  price          1.5 to 12" in page
    assert "suggested" not in page


def test_the_id_of_the_items_may_have_its_own_name(check):
    """`product_id` in one table is `id` in the other."""
    _, page = check(ORDERS.replace("sku", "product_id"), PRODUCTS.replace(",sku,", ",code,"))

    assert 'item = "product_id"' in page
    assert 'id = "id"' in page


def test_all_problems_are_shown_at_once(check):
    """Every kind of fault of both tables has a line, and nothing stops at the first."""
    code, page = check(
        "userId,movieId,rating,timestamp\n7,1,9,1\n7,1,x,1\n,1,4,1\n7,2,4,1\n7,3,4,1\n",
        "movieId,title\n1,One\n1,Two\n2,\n",
    )

    assert code == 4
    found = page.partition("problem 1")[2]
    assert "orders.csv, line 2: rating is 9.0" in found
    assert "orders.csv, line 3: rating 'x' is not a number" in found
    assert "orders.csv, line 4: userId is ''" in found
    assert "products.csv, line 3: movieId is '1'; expected each movieId only once" in found
    assert "products.csv, line 4: title is ''" in found
    assert "movieId '2' is one of 2 that products.csv lacks" in found


def test_damage_of_one_table_does_not_hide_the_other(check):
    """A table that cannot be read to its end leaves the other to be checked."""
    code, page = check(
        "userId,movieId,rating,timestamp\n7,1,4,1\n7,2,4,2024-01-01\n",
        "movieId,title\n1,One\n2,\n",
    )

    assert code == 4
    assert "timestamp has dates here" in page
    assert "products.csv, line 3: title is ''" in page


def test_events_need_weights(check):
    """A column of events is shown, and is a problem as long as no kind has a weight."""
    orders = ORDERS.replace("stars", "rating").replace("created_at", "kind")
    columns = ["user=customer_id", "item=sku", "event=kind", "title=name"]

    code, page = check(orders, PRODUCTS, *(word for one in columns for word in ("--column", one)))

    assert code == 4
    assert "1 2024-05-01 (no weight), 1 2024-05-02 (no weight), 1 2024" in page
    assert "problem 1: input.columns.event is 'kind', and no kind of event has a weight" in page


EVENTS = "customer_id,sku,event_type\n" + "".join(
    f"{user},{item},{kind}\n"
    for user in (7, 8)
    for item, kind in (("A", "view"), ("A", "add to cart"), ("B", "view"), ("B", "sale"))
)


def test_weights_of_the_kinds_are_suggested(check):
    """The suggested [input.events] makes the same command succeed, and is shown with counts."""
    code, page = check(EVENTS + "7,A,return\n", PRODUCTS)

    assert code == 4
    suggested = page.partition("suggested for reco.toml:")[2].partition("problem 1")[0]
    found = tomllib.loads(suggested)["input"]
    assert found["columns"]["event"] == "event_type"
    assert found["events"] == {"return": -5, "view": 1, "add to cart": 3, "sale": 5}

    code, page = check(EVENTS + "7,A,return\n", PRODUCTS, settings=suggested)

    assert code == 0
    assert "4 view (weight 1), 2 add to cart (weight 3), 2 sale (weight 5), 1 return (wei" in page
    assert "suggested" not in page
    assert "takes back" not in page

    _, page = check(
        EVENTS + "7,A,return\n", PRODUCTS, settings=suggested.replace("return = -5", "return = -2")
    )

    assert "note: return = -2 takes back a part of sale = 5: what was returned still co" in page


def test_a_column_of_many_texts_has_no_kinds(check):
    """An `action` may be anything; then only the name of the column is suggested."""
    rows = "".join(f"7,A,did {number}\n" for number in range(30))
    _, page = check("customer_id,sku,action\n" + rows, PRODUCTS)

    assert 'event = "action"  # needs the weight of each kind in [input.events]' in page
    assert "\n[input.events]" not in page


def test_a_column_beside_stars_has_no_kinds(check):
    """Ratings are no events, whatever another column is called."""
    _, page = check(ORDERS.replace("stars", "rating").replace("created_at", "action"), PRODUCTS)

    assert "suggested" in page
    assert "event" not in page.partition("suggested")[2].partition("problem")[0]


def test_a_weight_is_a_finite_number(check):
    """Each unusable value has its line, as any other."""
    rows = "7,A,2\n7,B,many\n8,A,-inf\n8,B,\n8,A,-1\n"
    columns = ("user=customer_id", "item=sku", "id=sku", "title=name", "weight=quantity")
    code, page = check(
        f"customer_id,sku,quantity\n{rows}",
        PRODUCTS,
        *(word for one in columns for word in ("--column", one)),
    )

    assert code == 4
    assert "line 3: quantity 'many' is not a number" in page
    assert "line 4: quantity is -inf; expected a finite number" in page
    assert "line 5: quantity is ''" in page
    assert "problem 4" not in page


RULED = """
[input.columns]
user = "customer_id"
item = "sku"
rating = "stars"
time = "created_at"
title = "name"
tags = ["category"]
"""


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (
            '[[rules.cap]]\ncolumn = "prise"\nat_most = 3',
            "rules.cap number 1: the products have no column 'prise'; expected one of ",
        ),
        (
            '[rules.seen]\ncart = "allowed"',
            "rules.seen has 'cart'; expected kinds of [input.events]",
        ),
        (
            '[[rules.never]]\ncolumn = "price"\nat_least = 1',
            "rules.never number 1 leaves none of the 2 products",
        ),
    ],
)
def test_a_rule_that_refuses_the_run_is_a_problem(check, rules, problem):
    """The check reports the line with which a run would end."""
    code, page = check(ORDERS, PRODUCTS, settings=RULED + rules)

    assert code == 4
    assert f"problem 1: {problem}" in page


def test_a_rule_that_changes_nothing_is_a_note(check):
    """A value that no product has is noted as in a run."""
    rules = '[[rules.never]]\ncolumn = "genres"\nvalues = ["garden"]'

    code, page = check(ORDERS, PRODUCTS, settings=RULED + rules)

    assert code == 0
    assert "note: rules.never number 1: genres: no product has the value 'garden'" in page


def test_a_missing_file_is_named_with_its_place(check, tmp_path, monkeypatch):
    """A relative path counts from the working directory, as under cron: the refusal names both."""
    monkeypatch.chdir(tmp_path)

    code, page = check(ORDERS, PRODUCTS, "--ratings", "nosuch.csv")
    _, full = check(ORDERS, PRODUCTS, "--ratings", "/nosuch/orders.csv")

    assert code == 4
    assert f"there is no file '{tmp_path}/nosuch.csv'; expected a file. A relative path" in page
    assert f"the working directory, here '{tmp_path}': correct the path, or write" in page
    assert "there is no file '/nosuch/orders.csv'; expected a file. Correct the path." in full


@pytest.mark.parametrize(
    ("orders", "value"),
    [
        ("7,1,4,22/05/2026\n8,1,3,23/05/2026\n", "timestamp '22/05/2026' is not a time"),
        ("7,9.78E+11,4,1\n8,9.78E+11,4,1\n", "movieId '9.78E+11'"),
    ],
)
def test_a_fault_of_all_rows_is_one_problem(check, orders, value):
    """The file has rows, and to remove all of them is no advice."""
    code, page = check(f"userId,movieId,rating,timestamp\n{orders}", "movieId,title\n1,One\n")

    assert code == 4
    problem = page.partition("problem 1: ")[2]
    assert value in problem
    assert "the first of 2 such rows" in problem
    assert "All rows have it: correct the column where the file is written" in problem
    assert "problem 2" not in page

    _, page = check("userId,movieId,rating,timestamp\n", "movieId,title\n1,One\n2,\n")

    assert "orders.csv: there is no row below the header" in page
    assert "products.csv, line 3: title is ''" in page


def test_columns_of_a_bookshop_are_recognised(check):
    """Emails, ISBNs and times of purchase; a table of events needs no stars."""
    orders = "email,isbn,purchased_at,quantity,kind\nu@b.example,9780,2026-05-01,1,purchase\n"
    books = "isbn13,name,genre\n9780,One,Crime\n"

    _, page = check(orders, books)

    suggested = tomllib.loads(page.partition("suggested for reco.toml:")[2].partition("problem")[0])
    found = suggested["input"]["columns"]
    assert (found["user"], found["item"], found["id"]) == ("email", "isbn", "isbn13")
    assert (found["time"], found["event"]) == ("purchased_at", "kind")
    assert "expected also 'userId', 'movieId'. Write the header" in page

    _, page = check(orders.replace("email", "who"), books, "--column", "item=isbn")

    assert "expected also 'userId'. " in page
    assert "Add 'userId', or name the column that has it as user in [input.columns]." in page


def test_notes_and_problems_fit_the_terminal(check, monkeypatch):
    """The suggested lines are to be copied, so they stay whole."""
    monkeypatch.setattr("reco_batch.commands.app.fit_to_terminal", lambda line: f"<{line}>")

    _, page = check(EVENTS, PRODUCTS)

    assert "\n<problem 1: orders.csv" in page
    assert "\nsuggested for reco.toml:" in page
    assert '\nevent = "event_type"' in page
