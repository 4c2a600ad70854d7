"""What a site charges for the jobs of a pool; nothing here decides a number of physics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ._toml import Spec

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ChargeSpec(Spec):
    """The table ``[pools.NAME.charge]``: charge = node hours x factor, in `unit`."""

    #: nodes of one job, a fraction where it shares one; of pools that are no jobs: of all workers together
    nodes: NotNegative = 1.0
    #: GPUs of one job; 0: as job.gpus says
    gpus: NotNegative = 0.0
    #: charged for a node and an hour; sites change theirs, so look it up
    factor: NotNegative = 1.0
    #: what is charged
    unit: str = "node h"
    #: of one unit; 0: no price is shown
    price: NotNegative = 0.0
    #: of the price
    currency: str = "EUR"
