"""The base class of a recipe's sections: frozen pydantic models. They refuse unknown keys, NaN and infinity."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
