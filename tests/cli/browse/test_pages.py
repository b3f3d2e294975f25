"""Pages of `reco browse`: what each shows, hostile data, errors, and what every answer has."""

import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from reco_cli.browse import views
from reco_cli.browse.http_rules import POLICY, HttpRules
from reco_cli.browse.shelf import Shelf
from reco_cli.browse.site import address, make_site
from reco_cli.options import Where
from reco_store import Keys, Reader, connect
from reco_store.connection.embedded.folder import files_of_home

ADDRESSES = [
    "/",
    "/user?id=42",
    "/user?id=42&with=reco-b/",
    "/user?id=unknown",
    "/movie?id=1",
    "/movie?id=Heat",
    "/movie?id=none",
    "/popular",
    "/popular?by=trending",
    "/search?q=heat",
    "/suggest.json?q=heat",
    "/report/20261125T031500Z-0001/report.html",
    "/style.css",
    "/search.js",
    "/icon.svg",
    "/nowhere",
    "/user",
]
#: Elements that the templates have, and no data may add.
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "main", "nav"),
    *("h1", "h2", "p", "a", "b", "bdi", "span", "div", "section", "ol", "ul", "li"),
    *("form", "label", "input", "select", "option", "button"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Shown(HTMLParser):
    """Visible text, elements and rows of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.rows: list[tuple[str, str]] = []  # class and text of each row of a list
        self.in_row = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Record an element."""
        self.elements.append((tag, dict(attrs)))
        if tag == "li":
            self.in_row = True
            self.rows.append((dict(attrs).get("class") or "", ""))

    def handle_endtag(self, tag):
        """Record the end of a row."""
        self.in_row = self.in_row and tag != "li"

    def handle_data(self, data):
        """Record a text."""
        self.words += data.split()
        if self.in_row:
            kind, text = self.rows[-1]
            self.rows[-1] = (kind, " ".join((text + " " + data).split()))

    @property
    def text(self) -> str:
        """The text without line ends."""
        return " ".join(self.words)


@pytest.fixture
def show(pages):
    """Return a page of an address, which must have the given status."""

    def get(path, code=200):
        answer = pages.get(path)
        assert answer.status_code == code, answer.text
        return Shown(answer.text)

    return get


def test_user_has_list_history_reasons_and_rules(show):
    """The list with its explanation, the rated movies that explain it, and the rules of the run."""
    page = show("/user?id=42")

    assert page.rows[0][1].startswith(
        "1 Toy Story (1995) Animation, Comedy · because the user has rated"
    )
    assert "Heat (1986) 9.000" in page.rows[0][1]
    assert page.rows[-1] == ("reason", page.rows[-1][1])
    assert page.rows[-1][1].startswith("1 Heat (1986) reason for 1")
    assert "rules.never" in page.text
    assert "<i>Horror</i>" in page.text
    assert "0 are hidden now" in page.text
    assert re.search(r"experiment <stars> : this user belongs to reco\b", page.text)


def test_two_generations_side_by_side(show, named):
    """Rows that only one list has are marked, others by the ranks that they moved."""
    page = show(f"/user?id=42&n=10&with=reco/{named['staged']}")
    rows = [(kind, text) for kind, text in page.rows if not text.endswith("reason for 1")]

    assert "2 of 7 movies are in both lists." in page.text
    assert [kind for kind, _ in rows[:10]] == ["", "", *["gone"] * 5, "up", "new", "down"]
    assert "+1" in rows[7][1]
    assert "only here" in rows[8][1]
    assert "\N{MINUS SIGN}2" in rows[9][1]
    assert f"staged, {named['staged']}" in page.text


@pytest.mark.parametrize(("at", "first"), [("kept", "Alien (1979)"), ("staged", "Heat (1995)")])
def test_another_generation_is_read(show, named, at, first):
    """The list is that of the chosen generation, and links keep the choice."""
    page = show(f"/user?id=42&at=reco/{named[at]}")

    assert page.rows[0][1].startswith(f"1 {first}")
    links = [a["href"] for tag, a in page.elements if tag == "a" and a["href"].startswith("/movie")]
    assert links
    assert all(link.endswith(f"at=reco%2F{named[at]}") for link in links)


def test_arm_of_an_experiment_is_read(show):
    """The other namespace's live list, with its share."""
    page = show("/user?id=42&at=reco-b/")
    assert page.rows[0][1].startswith("1 Alien (1979)")
    assert "reco-b, live, 10.0% of users" in page.text


def test_first_generation_is_looked_at_before_it_is_served(staged_first):
    """With nothing live, the overview leads to what is staged; other pages say what is missing."""
    where, generation = staged_first
    pages = TestClient(HttpRules(make_site(where), "127.0.0.1"), base_url="http://127.0.0.1:8484")
    answer = pages.get("/")
    overview = Shown(answer.text)

    assert (answer.status_code, pages.get("/popular").status_code) == (200, 404)
    assert "Nothing is live" in overview.text
    assert "Nothing is live" in Shown(pages.get("/popular").text).text
    assert f"{generation} staged" in overview.text
    assert "Report of this run" not in overview.text
    links = [a["href"] for tag, a in overview.elements if tag == "a" and "at=" in a["href"]]
    assert links == [f"/popular?at=reco%2F{generation}"]
    assert Shown(pages.get(links[0]).text).rows[0][1].startswith("1 Toy Story")
    user = Shown(pages.get(f"/user?id=42&at=reco/{generation}").text)
    assert user.rows[0][1].startswith("1 Alien (1979)")


def test_account_without_the_registry_keeps_its_readers(own_home):
    """Generations are not offered; the readers stay, with their connections and labels."""
    socket = files_of_home(own_home).socket
    with connect(None, home=own_home) as client:
        rights = ["+get", "+mget", "+scard", "+smismember", "+ping"]
        places = ["~reco:*", *(f"~{{reco}}:{name}" for name in ("current", "manifest:*", "hold"))]
        places += [f"~{{reco}}:{name}" for name in ("hidden", "experiment")]
        client.execute_command("ACL", "SETUSER", "guest", "on", ">guest", *rights, *places)
    shelf = Shelf(Where(f"unix://guest:guest@{socket}", "reco", None))
    reader = shelf.read(shelf.own, lambda reader: reader)

    assert reader.popular().items
    assert [choice.source.text for choice in shelf.choices()] == ["reco/", "reco-b/"]
    assert shelf.read(shelf.own, lambda reader: reader) is reader


def test_whole_history_keeps_the_list(where, monkeypatch):
    """Its link asks for the list by predicted rating, if that is shown."""
    monkeypatch.setattr(views, "_HISTORY", 1)
    monkeypatch.setattr(Reader, "seen", lambda *_: ("3",) * 2)
    pages = TestClient(HttpRules(make_site(where), "127.0.0.1"), base_url="http://127.0.0.1:8484")
    for query, shown in (("", False), ("&list=ranked", True)):
        page = Shown(pages.get(f"/user?id=42{query}").text)
        (link,) = (a["href"] for tag, a in page.elements if "history=all" in (a.get("href") or ""))
        assert ("list=ranked" in link) is shown


def test_list_by_predicted_rating(show):
    """The other list of the user."""
    assert show("/user?id=42&list=ranked&n=10").rows[6][1].startswith("7 Toy Story (1995)")


def test_unknown_user_gets_a_stand_in_with_a_note(show):
    """Popular movies, as `reco get-user` shows them, and no history."""
    page = show("/user?id=a+new+user")
    assert "user a new user has no personal list; showing the most rated movies" in page.text
    assert page.rows[0][1].endswith(" 9 most rated")
    assert "No rated movie of this user is published" in page.text


def test_movie_has_similar_and_next(show):
    """The card, and both lists."""
    page = show("/movie?id=1")
    assert "215, mean 3.92" in page.text
    similar, following = page.text.partition("Similar")[2].split("only this rating is known")
    assert similar.index('<script>alert("1")') < similar.index("Heat (1995) Crime 8.000")
    assert following.index("Heat (1995) Crime 1.000") < following.index("Alien (1979) Horror")
    assert "because" not in following


def test_movies_of_one_title(show):
    """Both are listed, to choose from; an unknown one gets popular movies with a note."""
    assert [text.split(" · ")[0] for _, text in show("/movie?id=heat").rows] == [
        "Heat (1995) Crime",
        "Heat (1986) 3 ratings, mean 2.50",
    ]
    assert "no movie has the id or the title none" in show("/movie?id=none").text


def test_popular_and_trending(show):
    """Kinds and genres; a kind that is not published is replaced, with a note."""
    assert show("/popular").rows[0][1].startswith("1 Toy Story")
    assert show("/popular?by=trending").rows[0][1].startswith("1 שלום")
    assert show("/popular?genre=crime").rows[0][1].startswith("1 Heat (1995)")
    assert "showing the most rated movies instead" in show("/popular?by=new").text


def test_search_and_suggestions(show, pages):
    """All words, or some of them with a note; suggestions are plain JSON."""
    assert [text for _, text in show("/search?q=hea").rows] == [
        "Heat (1995) Crime · 102 ratings, mean 3.95",
        "Heat (1986) 3 ratings, mean 2.50",
    ]
    assert "these have some of them" in show("/search?q=alien+unheard").text
    assert "No title has any of these words" in show("/search?q=unheard").text
    assert "Type words of a title" in show("/search").text
    found = pages.get("/suggest.json?q=ali").json()
    assert found == [{"id": "7", "title": "Alien (1979)", "details": "Horror"}]
    for nothing in ("", "%27", "the+", "unheard"):
        assert pages.get(f"/suggest.json?q={nothing}").json() == []


def test_overview_has_the_figures_and_the_report(show, pages, named):
    """Those of `reco status`, every generation with its state, and the report that is on disk."""
    page = show("/")
    assert "0.385" in page.words
    assert "staged: `batch promote` serves it" in page.text
    for state, generation in (("ready", "kept"), ("live", "live"), ("staged", "staged")):
        assert f"{named[generation]} {state} 2026-11-24 03:15 UTC" in page.text
    reports = {a["href"] for tag, a in page.elements if tag == "a" and "report" in a["href"]}
    assert reports == {f"/report/{named['live']}/report.html"}
    report = pages.get(reports.pop())
    assert report.status_code == 200
    assert "style-src 'unsafe-inline'" in report.headers["content-security-policy"]
    assert "script-src" not in report.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["..%2f..", "20261125T031500Z-0001%2f..", "20200101T000000Z-0000", "x"]
)
def test_no_other_file_is_served(pages, path):
    """A report is served by the name of its generation only."""
    assert pages.get(f"/report/{path}/report.html").status_code == 404


def test_no_report_of_another_folder(where, own_home, named):
    """Neither above the folder of artifacts nor in one of another name."""
    (own_home / "artifacts" / "other").mkdir(exist_ok=True)
    for folder in (own_home, own_home / "artifacts" / "other"):
        (folder / "report.html").write_text("private", "utf-8")
    shelf = Shelf(where)
    assert shelf.report_of(named["live"]) is not None
    for name in ("..", "other", f"../artifacts/{named['live']}", ""):
        assert shelf.report_of(name) is None


@pytest.mark.parametrize("path", [*ADDRESSES, "/movie?id=4", "/movie?id=5", "/search?q=script"])
def test_hostile_texts_do_nothing(pages, path):
    """Titles, genres, ids, rules and names add no element, and hide or reverse no text."""
    answer = pages.get(path)
    if answer.headers["content-type"].startswith("text/html") and "report" not in path:
        page = Shown(answer.text)
        assert {tag for tag, _ in page.elements} <= ELEMENTS
        assert [a for tag, a in page.elements if tag == "script"] == [
            {"src": "/search.js", "defer": None}
        ]
        assert not [a for _, attributes in page.elements for a in attributes if a[:2] == "on"]
        assert not [a for _, attributes in page.elements for a in attributes if a == "style"]
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", answer.text)
        assert "49" not in page.words


@pytest.mark.parametrize(
    "text", ['"><script>x</script>', "' onfocus=x", "a&b=c#d", "日本 \u202e", "%", "{{ 7 * 7 }}"]
)
def test_hostile_parameters_do_nothing(pages, text):
    """Ids and words of the address are text on every page, and come back unchanged in the form."""
    for path, name in (("/user", "id"), ("/movie", "id"), ("/search", "q")):
        answer = pages.get(address(path, **{name: text}))
        page = Shown(answer.text)
        assert {tag for tag, _ in page.elements} <= ELEMENTS
        assert len([tag for tag, _ in page.elements if tag == "script"]) == 1
        assert not [a for _, attributes in page.elements for a in attributes if a[:2] == "on"]
        assert "49" not in page.words


def test_hostile_id_can_be_followed(show):
    """The link of an id with quotes leads to its movie."""
    page = show("/user?id=42")
    link = next(a["href"] for tag, a in page.elements if "img" in (a.get("href") or ""))
    assert show(link).text.startswith("Id with quotes · reco")


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_answer_has_the_headers(pages, path):
    """A policy without inline scripts, no sniffing, no referrer, no cache."""
    headers = pages.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert "unsafe" not in headers["content-security-policy"] or path.startswith("/report")
    assert "script-src 'self'" in headers["content-security-policy"] or path.startswith("/report")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert pages.head(path).status_code == pages.get(path).status_code


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"])
@pytest.mark.parametrize("path", ADDRESSES)
def test_no_method_but_get_and_head(pages, path, method):
    """Everything else is refused before a page sees it."""
    answer = pages.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1:8484", 200),
        ("localhost", 200),
        ("[::1]:8484", 200),
        ("192.168.1.7:8484", 200),
        ("evil.example", 421),
        ("evil.example:8484", 421),
        ("127.0.0.1.evil.example", 421),
        ("[evil", 421),
        ("", 421),
    ],
)
def test_host_header_is_checked(pages, host, code):
    """A name that is not this machine's is refused: it may have been bound to this address."""
    answer = pages.get("/", headers={"Host": host})
    assert answer.status_code == code
    assert "content-security-policy" in answer.headers


def test_bug_has_the_headers_too(where):
    """Even an answer that the pages did not make."""

    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"bug"})

    answer = TestClient(HttpRules(broken, "127.0.0.1"), base_url="http://127.0.0.1").get("/")
    assert answer.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/nowhere", 404, "there is no such page"),
        ("/user", 400, "the address has no id"),
        ("/user?id=42&n=7", 400, "n='7': expected one of 10, 20, 50, 100"),
        ("/user?id=42&n=x", 400, "n='x'"),
        ("/user?id=42&at=other/", 400, "'other/' is not readable here"),
        ("/user?id=42&at=reco/latest", 400, "'reco/latest' is not readable here"),
        ("/user?id=42&at=reco/20200101T000000Z-0000", 404, "is not complete in the store"),
        ("/popular?by=worst", 400, "worst"),
        ("/popular?genre=worst", 400, "genre 'worst' is unknown"),
    ],
)
def test_mistakes_are_explained(show, path, code, words):
    """One sentence with what was found and what was expected."""
    assert words in show(path, code).text


@pytest.mark.parametrize("path", ["/", "/user?id=42", "/popular"])
def test_store_that_is_down_is_explained(path, tmp_path):
    """Code 503, with the cause and the next step; no password is shown."""
    down = Where(f"unix://reader:Hunter2@{tmp_path}/none", "reco", None)
    site = HttpRules(make_site(down), "127.0.0.1")
    answer = TestClient(site, base_url="http://127.0.0.1").get(path)
    assert answer.status_code == 503
    assert "Check that the server runs" in answer.text
    assert "Nothing was changed." in answer.text
    assert "Hunter2" not in answer.text


@pytest.mark.parametrize("path", ["/", "/user?id=42", "/popular"])
def test_store_without_a_generation_is_explained(path, tmp_path):
    """Code 404: the store was read, and has nothing yet."""
    site = HttpRules(make_site(Where(None, "reco", str(tmp_path))), "127.0.0.1")
    answer = TestClient(site, base_url="http://127.0.0.1").get(path)
    assert answer.status_code == 404
    assert "Nothing is live" in answer.text
    assert "Run `batch run` first" in answer.text


def test_nothing_is_written(pages, own_home):
    """Every key of the store is the same after every page."""

    def everything():
        with connect(None, home=own_home) as client:
            return {key: client.get(key) for key in client.scan_iter(count=1000)}

    before = everything()
    for path in ADDRESSES:
        pages.get(path)
    assert everything() == before
    assert Keys("reco").current.encode() in before


def test_address():
    """Parameters without a value are left out, and every character is encoded."""
    assert address("/user", id="a&b/c ü", at=None) == "/user?id=a%26b%2Fc%20%C3%BC"
    assert address("/") == "/"
    assert address("/movie", id="\ud800") == "/movie?id=%ED%A0%80"
