"""What a simulation can be told; apart from `config`, since its shapes need numpy."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from reco_batch.simulate.files import Form
from reco_batch.simulate.simulation import SHAPES, Shape


class SimulateConfig(BaseModel):
    """Of one `batch simulate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Path
    """The folder to write."""
    like: Annotated[str, Field(description=" or ".join(SHAPES))]
    """Whose number of users, movies and ratings."""
    scale: Annotated[FiniteFloat, Field(gt=0, description="a number above 0")] = 1
    """The part of the users and ratings; the catalogue is whole at every scale."""
    movies: Annotated[int | None, Field(ge=1, description="a whole number from 1")] = None
    """Size of the catalogue; None: that of `like`."""
    form: Annotated[Form, Field(description=" or ".join(Form))] = Form.CSV
    seed: Annotated[int, Field(ge=0, description="a whole number from 0")] = 42
    """Of everything."""

    @field_validator("like")
    @classmethod
    def _published(cls, like: str) -> str:
        if like not in SHAPES:
            raise ValueError(like)
        return like

    @property
    def shape(self) -> Shape:
        """How large the data set is."""
        shape = SHAPES[self.like].scaled(self.scale)
        return shape if self.movies is None else shape._replace(movies=self.movies)
