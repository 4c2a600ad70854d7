"""The table ``[seed]`` of tagger files: made of the table of seed methods, so that it has all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

from e2edist.imaging.seed_methods import SEED_METHODS, Parameter, SeedMethod

from .toml_models import Spec


class _Seed(Spec):
    """How the centre of a crop is found (docs/images.md, Seeds)."""

    method: str

    @property
    def definition(self) -> SeedMethod:
        """The entry of the method in `SEED_METHODS`."""
        return SEED_METHODS[self.method]

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the parameters that the method has."""
        return {name: getattr(self, name) for name in self.definition.parameters}


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that it has a centre")
    return value


def _annotation(parameter: Parameter) -> Any:
    """Return the type of a parameter of a seed method, with its limits."""
    literal: Any = Literal  # a type checker can't know what is in a table
    annotated: Any = Annotated
    if parameter.choices:
        return literal[parameter.choices]
    checks = (
        Field(ge=parameter.least, le=parameter.most),
        *([AfterValidator(_odd)] if parameter.odd else []),
    )
    return annotated[(type(parameter.default), *checks)]


def _seed_model() -> type[_Seed]:
    """Return the model of ``[seed]``: a method, and the parameters of all methods."""
    meaning = "; ".join(f"{name}: {method.meaning}" for name, method in SEED_METHODS.items())
    names = Parameter("", meaning, choices=tuple(SEED_METHODS))
    fields: dict[str, Any] = {"method": (_annotation(names), Field(description=meaning))}
    for name, method in SEED_METHODS.items():
        for key, one in method.parameters.items():
            text = f"{name}: {one.meaning}"
            fields[key] = (_annotation(one), Field(default=one.default, description=text))
    return create_model("SeedSpec", __base__=_Seed, __doc__=_Seed.__doc__, **fields)


if TYPE_CHECKING:
    SeedSpec = _Seed
else:
    SeedSpec = _seed_model()
