"""The ways to find crop centres that a tagger may name, and their keys in tagger files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .geometry import BARREL_ETA
from .layers import HBHE_DEPTH1, LAYERS, Layer
from .seeds import Seeds, eb_hottest, given_crystals, given_towers, hcal_tower


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a seed method, a key of ``[seed]`` in tagger files.

    Attributes
    ----------
    default, meaning
        The type of the default is that of all values; what it does, with its unit.
    choices : tuple of str
        The texts that it may be.
    least, most : int or float, optional
        Limits of a number, themselves included.
    odd : bool
        Whether a number must be odd.
    """

    default: float | str
    meaning: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    odd: bool = False


@dataclass(frozen=True, slots=True)
class SeedMethod:
    """A way to find the centres of crops.

    Attributes
    ----------
    meaning : str
        What it takes as the centre.
    find : callable
        ``find(hits, objects, status, **parameters) -> Seeds``; `hits` are those of `layer`, for all events.
    layer : Layer
        What it looks at; one of `LAYERS` is made once for seeds and channels.
    frame : str
        Frame that crops round its centres are cut from: EB (170x360) or ECAL (280x360).
    module : str
        CMSSW's module that makes such crops, a stage of timing tables.
    eta_limit : float
        Largest ``objects.eta_max`` that it can work with.
    closed : bool
        Whether an object at ``|eta| == eta_max`` is kept.
    parameters : mapping of str to Parameter
        Its keys of ``[seed]``; methods that share a key share the `Parameter`.
    take_given : callable, optional
        ``take_given(status, row, col, **parameters) -> Seeds``: its rules for centres that the file says
        (`SEED_COLUMNS`), which are then not looked for. Without it, they are.
    """

    meaning: str
    find: Callable[..., Seeds]
    layer: Layer
    frame: str
    module: str
    eta_limit: float
    closed: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    take_given: Callable[..., Seeds] | None = None


#: Every seed method that a tagger may name.
SEED_METHODS: dict[str, SeedMethod] = {
    "eb_hottest": SeedMethod(
        "hottest crystal of the barrel",
        eb_hottest,
        LAYERS["EB_energy"],
        frame="EB",
        module="EGFrameProducer",
        eta_limit=BARREL_ETA,
        closed=True,
        parameters={
            "window_rows": Parameter(7, "rows of the search window, odd", least=1, most=169, odd=True),
            "window_cols": Parameter(13, "columns of the search window, odd", least=1, most=359, odd=True),
            "edge": Parameter("pad", "crops beyond rows 0-169: zero-padded, or rejected", ("pad", "drop")),
        },
        take_given=given_crystals,
    ),
    "hcal_tower": SeedMethod(
        "hottest depth-1 tower",
        hcal_tower,
        HBHE_DEPTH1,
        frame="ECAL",
        module="JetFrameProducer",
        eta_limit=3.0,
        parameters={
            "no_hit": Parameter("axis", "without a hit: on the jet's axis, or rejected", ("axis", "reject")),
        },
        take_given=given_towers,
    ),
}
