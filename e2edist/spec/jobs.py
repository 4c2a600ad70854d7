"""How a pool's workers become batch jobs, and in which container they run; nothing here decides a number."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from ._toml import Spec

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ContainerSpec(Spec):
    """The table ``[pools.NAME.container]``: the image that worker processes run in.

    ``htcondor-apptainer`` and ``htcondor-singularity`` leave it to the batch system
    (``+ApptainerImage``, ``MY.SingularityImage``); the others become a prefix of the worker's command.
    """

    runtime: Literal[
        "none", "shifter", "podman-hpc", "apptainer", "htcondor-apptainer", "htcondor-singularity"
    ] = "none"
    #: registry name, SIF file, or unpacked tree as under /cvmfs/unpacked.cern.ch
    image: str = ""
    #: HOST:CONTAINER
    binds: tuple[str, ...] = ()
    #: shifter modules, as gpu and cvmfs
    modules: tuple[str, ...] = ()
    #: variables set inside
    env: dict[str, str] = Field(default_factory=dict)
    #: Python inside; without a container: empty for the one that runs submit
    python: str = ""

    @model_validator(mode="after")
    def _named(self) -> ContainerSpec:
        if self.runtime != "none" and not self.image:
            raise ValueError(f"image: missing for runtime {self.runtime}")
        return self


class JobSpec(Spec):
    """The table ``[pools.NAME.job]``: one batch job holds one worker."""

    #: minutes until the batch system ends the job; no chunk is given out that can't end before
    walltime_min: PositiveInt = 60
    #: SLURM partition; empty where the site wants a QOS directive in its place
    queue: str = ""
    account: str = ""
    #: GPUs of the job, for HTCondor's request_gpus; for SLURM write the site's own directive
    gpus: NonNegativeInt = 0
    #: HTCondor's RequestDisk
    disk_gib: Positive = 4.0
    #: SLURM: options behind #SBATCH
    directives: tuple[str, ...] = ()
    #: HTCondor: lines of the submit file
    attributes: dict[str, str] = Field(default_factory=dict)
    #: parts of generated SLURM lines, or keys of generated HTCondor lines, that the site does not want
    skip: tuple[str, ...] = ()
    #: shell lines before the worker starts
    prologue: tuple[str, ...] = ()
    #: more options of ``dask worker``, as --worker-port
    worker_args: tuple[str, ...] = ()
    #: node-local folder for the worker's scratch; empty: the batch system's
    local_directory: str = "/tmp"  # noqa: S108 - a node's own disk
    #: folder for the jobs' logs, seen by submit too; empty: logs in the output folder
    log_directory: str = ""
    #: network interface that workers reach the scheduler by; empty: the host's own name
    interface: str = ""
    #: seconds between two looks at the queue
    poll_s: Positive = 10.0
    #: seconds after which a worker that finds no scheduler ends its job
    death_timeout_s: PositiveInt = 300
    #: jobs that end before their worker joins: so many in a row stop the pool
    start_failures: PositiveInt = 3
    #: jobs in place of lost ones, in all
    replacements: NonNegativeInt = 1000
