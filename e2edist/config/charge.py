"""What a site charges for the jobs of a pool; nothing here decides a number of physics."""

from __future__ import annotations

from ._types import NonNegative
from .toml_models import Spec


class ChargeSpec(Spec):
    """The table ``[pools.NAME.charge]``: charge = node hours x factor, in `unit`."""

    #: nodes of one job, a fraction where it shares one; of pools that are no jobs: of all workers together
    nodes: NonNegative = 1.0
    #: GPUs of one job; 0: as job.gpus says
    gpus: NonNegative = 0.0
    #: charged for a node and an hour; sites change theirs, so look it up
    factor: NonNegative = 1.0
    #: what is charged
    unit: str = "node h"
    #: of one unit; 0: no price is shown
    price: NonNegative = 0.0
    #: of the price
    currency: str = "EUR"
