"""Where the controller of a detached campaign runs; nothing here decides a number."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from e2edist.errors import UnknownNameError, unknown_name

from ._batch_systems import batch_systems, check_keys, check_runtime, find_batch_system
from ._types import Positive
from .jobs import ContainerSpec
from .toml_models import Spec

#: Kind of a controller in the background of this machine; the others are batch systems.
PROCESS = "process"


class ControllerSpec(Spec):
    """The table ``[controller]``: what ``submit --detach`` makes of itself.

    The controller holds scheduler and driver, and runs no chunk unless a pool is of kind ``local``.
    """

    #: process: in the background of this machine; else the batch system of which it is a job
    kind: str = PROCESS
    #: minutes until the batch system ends it; submit again does the rest
    walltime_min: PositiveInt = 1440
    #: seconds before that end, at which it stops in good order and cancels its workers (not HTCondor)
    notice_s: PositiveInt = 300
    #: CPU cores of the job
    cores: PositiveInt = 2
    #: memory of the job
    memory_gib: Positive = 4.0
    #: SLURM partition or PBS queue; empty where the site wants a directive in its place
    queue: str = ""
    #: account or project that is charged; empty: the site's, or the user's default there
    account: str = ""
    #: HTCondor's RequestDisk
    disk_gib: Positive = 1.0
    #: options behind #SBATCH or #PBS
    directives: tuple[str, ...] = ()
    #: HTCondor: lines of the submit file, as { universe = "local" } to stay on the schedd's host
    attributes: dict[str, str] = Field(default_factory=dict)
    #: shell lines before the controller starts
    prologue: tuple[str, ...] = ()
    #: it must find the commands of the batch system inside, if its pools are batch jobs
    container: ContainerSpec = ContainerSpec()

    @model_validator(mode="after")
    def _supported(self) -> ControllerSpec:
        if self.kind != PROCESS:
            try:
                system = find_batch_system(self.kind)
            except UnknownNameError as error:
                known = [PROCESS, *batch_systems()]
                raise ValueError(f"kind: {unknown_name('controller', self.kind, known)}") from error
            if system is None:
                raise ValueError(f"kind: a controller is a {PROCESS} or a batch job, not {self.kind}")
            check_keys(self.kind, "", self, system.unsupported)
            check_runtime(self.kind, self.container.runtime, system)
        return self
