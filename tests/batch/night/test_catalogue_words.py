"""Runs of a shop: nothing that its operator or analyst reads is about movies or ratings."""

import re
import sys
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from csv_folders import csv_text, planted
from real_servers import running_server
from reco_cli.browse.site import make_site
from reco_cli.options import Where
from terminals import show

RECO = Path(sys.executable).with_name("reco")
#: A word by itself, not a part of a name such as input.movies, most_rated or --by highest-rated.
MOVIE_WORDS = re.compile(r"(?<![\w./-])(movies?|rated)(?![\w/-]|\.\w)", re.IGNORECASE)
SETTINGS = """
[input]
ratings = "{folder}/orders.csv"
items = "{folder}/products.csv"

[input.columns]
user = "customer_id"
item = "product_id"
id = "id"
time = "created_at"
title = "name"
tags = ["category"]
"""


def write_shop(folder, *, customers=60, products=150, rows=(), more=()):
    """Write orders and products with their settings, and return the file of these."""
    bought, catalogue = planted(customers, products)
    orders = [
        (f"c{user}", f"sku-{item}", datetime.fromtimestamp(second, UTC).isoformat())
        for user, item, _, second in bought
    ]
    items = [(f"sku-{item}", f"Thing {item}", category) for item, _, category in catalogue]
    header = ("customer_id", "product_id", "created_at")
    folder.mkdir(exist_ok=True)
    (folder / "orders.csv").write_text(csv_text(header, [*orders, *rows]))
    (folder / "products.csv").write_text(csv_text(("id", "name", "category"), [*items, *more]))
    (folder / "reco.toml").write_text(SETTINGS.format(folder=folder))
    return folder / "reco.toml"


def found_in(text):
    """Return the places of movie words in a text."""
    around = 40
    return [
        text[max(0, one.start() - around) : one.end() + around]
        for one in MOVIE_WORDS.finditer(text)
    ]


def text_of(html):
    """Return what a reader of a page sees or hears."""
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    spoken = re.findall(r'(?:aria-label|data-name|title)="([^"]*)"', html)
    return unescape(" ".join([re.sub(r"<[^>]+>", " ", html), *spoken]))


SEVERAL = ("c1", "sku-1", "2020-01-01T00:00:00+00:00")
UNKNOWN = ("c1", "sku-gone", "2020-01-01T00:00:00+00:00")


def test_check_data_has_the_words_of_the_shop(untrained, tmp_path):
    """Notes and sizes name purchases and products."""
    config = write_shop(
        tmp_path / "shop", rows=[SEVERAL, SEVERAL, UNKNOWN], more=[("x", "New", "")]
    )

    ended = untrained("check-data", "--config", config)

    assert ended.code == 0, ended.err
    assert "1 purchase repeated a user and a product: the latest" in ended.out
    assert "1 purchase of 1 product that the products file lacks" in ended.out
    assert "1 product without a purchase:" in ended.out
    assert ended.out.count("60 users, 151 products\n") == 1
    assert not found_in(ended.out + ended.err)


def test_a_noun_of_the_settings_precedes_the_column(untrained, tmp_path):
    """Any word may be given, with its plural; no other characters."""
    config = write_shop(tmp_path / "shop")

    named = untrained("check-data", "--config", config, "--noun", "plant/flora")
    refused = untrained("check-data", "--config", config, "--noun", "<b>")

    assert "1,200 interactions, 60 users, 150 flora\n" in named.out
    assert refused.code == 2
    assert "expected a word, or its singular and plural as person/people" in refused.err


@pytest.mark.parametrize(
    ("rows", "more", "fault"),
    [
        ([], [("sku-1", "Again", "")], "expected each id only once"),
        ([("c1", "", "2020-01-01T00:00:00+00:00")], [], "expected a product_id"),
        ([UNKNOWN] * 900, [], "purchases are of such products"),
        ([("c1", "sku-1", "2099-01-01T00:00:00+00:00")] * 900, [], "purchases are dated after it"),
    ],
)
def test_refusals_have_the_words_of_the_shop(untrained, tmp_path, rows, more, fault):
    """The columns are those of the files."""
    config = write_shop(tmp_path / "shop", rows=rows, more=more)

    run = untrained("run", "--config", config)
    checked = untrained("check-data", "--config", config)

    for ended in (run, checked):
        assert ended.code == 4
        assert fault in ended.out + ended.err
        assert not found_in(ended.out + ended.err)


@pytest.mark.parametrize(
    ("rule", "code", "text"),
    [
        ('[[rules.only]]\ncolumn = "price"\nat_least = 1', 2, "the products have no column"),
        ('[[rules.only]]\ncolumn = "title"\nat_least = 1', 2, "title of a product is 'Thing 1'"),
        ('[[rules.only]]\ncolumn = "genres"\nvalues = ["x"]', 4, "none of the 150 products"),
        ("[rules.new]\nshare = 0.1\ndays = 30\nmost_ratings = 2", 2, "the products have no column"),
    ],
)
def test_errors_of_rules_have_the_words_of_the_shop(untrained, tmp_path, rule, code, text):
    """Columns of the data may have any name; movies are not mentioned."""
    config = write_shop(tmp_path / "shop")
    config.write_text(f"{config.read_text()}\n{rule}\n")

    ended = untrained("run", "--config", config)

    assert ended.code == code, ended.err
    assert text in ended.err
    assert not found_in(ended.err.replace("movieId", ""))


@pytest.fixture(scope="module")
def shop(batch, tmp_path_factory):
    """Two runs of a shop: their output, environment, and folder of artifacts."""
    home = tmp_path_factory.mktemp("home")
    with running_server() as url:
        own = {"REDIS_URL": url, "RECO_HOME": str(home)}
        more = {}
        for customers in (60, 58):
            config = write_shop(home / "shop", customers=customers, rows=[SEVERAL, UNKNOWN])
            ended = batch("run", "--config", config, "--gate-bound", "churn=0.9", **own, **more)
            assert ended.code == 0, ended.err
        yield ended, own, home / "artifacts"


@pytest.mark.slow
def test_output_and_report_of_a_run_have_the_words_of_the_shop(shop):
    """Notes, summary, checks and sections."""
    ended, _, artifacts = shop
    reports = [text_of(path.read_text()) for path in sorted(artifacts.glob("*/report.html"))]

    assert len(reports) == 2
    assert "58 users, 150 products, " in ended.out
    assert not found_in(ended.out + ended.err)
    for text in reports:
        assert "Bought products, newest first" in text
        assert "Products in the input" in text
        assert not found_in(text)
    assert "products entered at least one top-10" in reports[1]


@pytest.mark.slow
@pytest.mark.parametrize("piped", [True, False])
def test_answers_have_the_words_of_the_shop(shop, batch, piped):
    """A pipe has names such as most_rated, which are part of the contract."""
    _, own, _ = shop
    for words, heading in (
        ("get-user c1", "Products for user c1"),
        ("get-user a-stranger", "most bought products"),
        ("get-movie sku-1", "Products similar to Thing 1"),
        ("get-movie none", "no product has the id or the title none"),
        ("get-popular", "The most bought products of the whole catalogue"),
        ("get-popular --by trending", "most bought products"),
        ("search thing", "Products with thing in the title"),
        ("for-ratings sku-1=5", "Products for 1 purchase"),
        ("for-ratings none=5", "no product has the id or the title 'none'"),
        ("status", "58 users, 150 products, "),
        ("hide sku-1", "product is now hidden"),
        ("unhide sku-1", "product is shown again"),
        ("diff", "of them; in the catalogue"),
    ):
        name = "batch" if words.startswith(("hide", "unhide", "diff")) else "reco"
        command = [RECO.with_name(name), *words.split()]
        if piped and words == "diff":  # names of figures are for programs
            continue
        if piped:
            ended = batch(program=tuple(map(str, command)), **own)
            text = ended.out + ended.err
        else:
            shown = show(command, {"HOME": own["RECO_HOME"], "LANG": "C.UTF-8", **own}, columns=200)
            text = shown.bare + shown.err
            assert heading in " ".join(text.split()), words
        assert not found_in(text), words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/", "58 users, 150 products"),
        ("/user?id=c1", "because the user has bought"),
        ("/user?id=a-stranger", "No bought product of this user is published"),
        ("/movie?id=sku-1", "Next, for a user of whom only this purchase is known"),
        ("/movie?id=none", "Popular products"),
        ("/popular?by=most-rated", "Most bought"),
        ("/search?q=thing", "Products with thing in the title"),
    ],
)
def test_pages_have_the_words_of_the_shop(shop, path, heading):
    """Pages of `reco browse`, whose addresses keep the names of the contract."""
    _, own, _ = shop
    site = make_site(Where(own["REDIS_URL"], "reco", own["RECO_HOME"]))

    answer = TestClient(site).get(path)

    text = " ".join(text_of(answer.text).split())
    assert heading in text
    assert not found_in(text)
