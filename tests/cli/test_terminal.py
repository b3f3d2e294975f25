"""`reco` on a terminal: a table that fits, with notes below."""

import re

import pytest
from rich.cells import cell_len

STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")


def bare(shown):
    """Return the output, line by line, without colours."""
    return [line.rstrip() for line in STYLE.sub("", shown).splitlines()]


def test_a_users_list_at_eighty_columns(terminal, generation):
    """Heading, header, one line a movie, and generation and age below; nothing on stderr."""
    ended = terminal("get-user", "42", "-n", "4")
    assert bare(ended.out) == [
        "Movies for user 42",
        "#  title                               year  genres              score  source",
        "1  Usual Suspects, The                 1995  Crime, Mystery      0.987  personal",
        "2  Seven (a.k.a. Se7en)                1995  Mystery, Thriller   0.937  personal",
        "3  Heat                                1995  Action, Crime, Th…  0.887  personal",
        "4  Lord of the Rings: The Return of …  2003  Action, Adventure…  0.837  personal",
        f"generation {generation}, 3 hours old",
    ]
    assert (ended.code, ended.err) == (0, "")


def test_a_fallback_is_noted(terminal):
    """The note is on the screen, below the table."""
    shown = bare(terminal("get-user", "absent", "-n", "3").out)
    assert "Note: user absent has no personal list; showing the most rated movies instead." in shown
    assert shown[2].split()[-2:] == ["most", "rated"]


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 132])
@pytest.mark.parametrize(
    "words",
    [
        ("get-user", "42"),
        ("get-user", "7"),
        ("get-movie", "1"),
        ("get-movie", "Hamlet"),
        ("status",),
        ("status", "--namespace", "reco", "--namespace", "absent", "--namespace", "nowhere"),
    ],
)
def test_nothing_is_wider_than_the_terminal(terminal, words, columns):
    """Wide characters and emoji count as two cells; every movie is one line."""
    shown = bare(terminal(*words, columns=columns).out)
    assert max(map(cell_len, shown)) <= columns


def test_columns_stay_aligned_with_wide_titles(terminal):
    """The year starts in the same cell in every line, after CJK, emoji and combining marks."""
    lines = bare(terminal("get-user", "7", "-n", "8").out)
    header = next(line for line in lines if line.startswith("#"))
    year = cell_len(header.partition("year")[0])
    starts = [cell_len(line.partition(" 2001 ")[0]) + 1 for line in lines if " 2001 " in line]
    emoji = next(line for line in lines if "🎬" in line)
    assert starts == [year, year]
    assert cell_len(emoji.partition(" 2010 ")[0]) + 1 == year


def test_a_wide_title_is_complete_on_a_wide_terminal(terminal):
    """Eight CJK characters need sixteen cells, and get them."""
    assert bare(terminal("get-user", "9", "-n", "1").out)[1:3] == [
        "#  title             year  genres              score  source",
        "1  千と千尋の神隠し  2001  Animation, Fantasy  0.900  personal",
    ]


def test_hostile_titles_cannot_command_the_terminal(terminal):
    """No escape sequence of a title, genre or id reaches the terminal; markup is text."""
    shown = terminal("get-user", "7", "-n", "8", columns=200).out
    text = STYLE.sub("", shown)
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]*", text)
    assert r"\x1b[31mRed\x1b[0m \x9b2J\x07" in text
    assert r"Tab\there\nand a new line\r\x00" in text
    assert "[bold]markup[/bold] :smile:" in text
    assert "\x1b[31m" not in shown


def test_a_hostile_id_in_the_heading_is_escaped(terminal):
    """The caller's own text is escaped."""
    assert bare(terminal("get-user", "\x1b[2J").out)[0] == r"Movies for user \x1b[2J"


def test_no_color_is_respected(terminal):
    """NO_COLOR removes every colour; without it there are some."""
    assert COLOUR.search(terminal("get-user", "absent").out)
    assert not COLOUR.search(terminal("get-user", "absent", NO_COLOR="1").out)


def test_a_dumb_terminal_gets_no_escape_sequence(terminal):
    """TERM=dumb gets no escape sequence."""
    assert "\x1b" not in terminal("get-user", "absent", TERM="dumb").out


def test_a_movie_shows_its_card(terminal):
    """Title, id, genres and ratings above, the similar movies below."""
    assert bare(terminal("get-movie", "toy story").out)[:7] == [
        "Movies similar to Toy Story (1995)",
        "  title    Toy Story (1995)",
        "  id       1",
        "  genres   Adventure, Animation, Children",
        "  ratings  215, mean 3.92",
        " #  title                             year  genres             score  source",
        " 1  Jumanji                           1995  Adventure, Child…  0.912  similar",
    ]


def test_candidates_show_their_ids(terminal):
    """Movies that share a title are distinguished by id and year."""
    ended = terminal("get-movie", "hamlet")
    assert bare(ended.out)[:4] == [
        "2 movies have the title hamlet",
        "#  id  title   year  genres  source",
        "1  11  Hamlet  1996  Drama   candidate",
        "2  12  Hamlet  1990  Drama   candidate",
    ]
    assert ended.code == 2
    assert ended.err == "error: 2 movies have the title 'hamlet'; ask for one by its id\n"


def test_a_long_fact_goes_on_in_the_next_line(terminal):
    """On a narrow terminal the card and `status` lose nothing."""
    shown = bare(terminal("status", "--all", columns=40).out)
    text = "".join(line[27:].strip() for line in shown[1:])
    assert re.search(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00,3hoursago", text.replace(" ", ""))


def test_status_is_a_page_of_facts(terminal, server, generation):
    """Store, generation, age and number of keys."""
    shown = bare(terminal("status", "--all").out)
    assert shown[0] == f"Generation {generation} is live"
    facts = {" ".join(line.split()) for line in shown}
    assert {"namespace reco", "keys user 5", "metrics.rmse 0.8827"} <= facts
    assert any(line.startswith("created") and line.endswith("3 hours ago") for line in facts)
