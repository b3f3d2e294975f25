"""Commands without pydantic receive the same values as typer's own commands."""

import contextlib
import io
from typing import Annotated, Literal

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperCommand, TyperGroup

from reco_cli.quick_commands import QuickCommand, QuickGroup


def program(group, command):
    """Make a program of one command with every kind of parameter that `reco` has."""
    app = typer.Typer(cls=group, rich_markup_mode=None, add_completion=False)
    received = {}

    @app.callback()
    def main(*, quiet: Annotated[bool, typer.Option("--quiet")] = False) -> None:
        received["quiet"] = quiet

    @app.command(cls=command)
    def show(
        text: str,
        *,
        n: Annotated[int, typer.Option("-n")] = 10,
        many: Annotated[list[str] | None, typer.Option("--many")] = None,
        flag: Annotated[bool, typer.Option("--flag")] = False,
        by: Annotated[Literal["most-rated", "highest-rated"], typer.Option("--by")] = "most-rated",
        url: Annotated[str | None, typer.Option("--url", envvar="QUICK_TEST_URL")] = None,
    ) -> None:
        received.update(text=text, n=n, many=many, flag=flag, by=by, url=url)

    def run(words):
        received.clear()
        err = io.StringIO()
        with contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            app(words, prog_name="program")
        # Only the usage line differs: typer puts a required argument in braces.
        return ended.value.code, dict(received), err.getvalue().replace("{text}", "text")

    return run


quick = program(QuickGroup, QuickCommand)
own = program(TyperGroup, TyperCommand)

NUMBERS = ["", " 7", "+7", "-7", "007", "1.0", "1e3", "1_000", "٣", "²", "ten", "9" * 9, "9" * 5000]
numbers = st.integers().map(str) | st.sampled_from(NUMBERS)
options = st.lists(
    st.one_of(
        st.tuples(st.just("-n"), numbers),
        st.tuples(st.just("--many"), st.text()),
        st.tuples(
            st.just("--by"), st.sampled_from(["most-rated", "highest-rated", "Most-Rated", ""])
        ),
        st.tuples(st.just("--url"), st.text()),
        st.tuples(st.just("--flag")),
    ),
    max_size=4,
)


@given(st.text(), options)
def test_values_and_errors_are_typers_own(text, given_options):
    """Exit code, every value with its type, and the error message are the same."""
    words = ["show", *(word for option in given_options for word in option), "--", text]
    code, received, err = quick(words)
    assert (code, received, err) == own(words)
    assert {name: type(value) for name, value in received.items()} == {
        name: type(value) for name, value in own(words)[1].items()
    }


@pytest.mark.parametrize("number", NUMBERS)
def test_odd_numbers_are_typers_own(number):
    """Typer decides which texts are numbers, and words the error for the others."""
    assert quick(["show", "a", "-n", number]) == own(["show", "a", "-n", number])


@pytest.mark.parametrize("words", [[], ["show"], ["--quiet", "show", "a"], ["--help"], ["nothing"]])
def test_the_group_is_typers_own(words, capsys):
    """Missing words, the group's own options and help are the same."""
    assert quick(words) == own(words)
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


def test_the_environment_counts(monkeypatch):
    """A value from the environment is used; the command line takes precedence."""
    monkeypatch.setenv("QUICK_TEST_URL", "redis://from-the-environment")
    assert quick(["show", "a"])[1]["url"] == "redis://from-the-environment"
    assert quick(["show", "a", "--url", "redis://given"])[1]["url"] == "redis://given"
