"""The base of a recipe's sections: frozen pydantic models that refuse unknown keys and numbers that are not finite."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
