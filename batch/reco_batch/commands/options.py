"""Arguments and options of `batch` that are not settings."""

from typing import Annotated

import typer

from reco_batch.settings.option import Panel

Force = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        rich_help_panel=Panel.GATE,
        show_default=False,
        help="Serve it whatever the gate finds. Any words; they stay on record. [default: none]",
    ),
]
GenerationOrLatest = Annotated[
    str, typer.Argument(metavar="GENERATION", help="Such as 20261124T031502Z-7f3a; or latest.")
]

MovieIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of movies.")]
