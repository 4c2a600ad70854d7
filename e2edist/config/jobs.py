"""How a pool's workers become batch jobs, and in which container they run; nothing here decides a number."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from ._types import Positive
from .toml_models import Spec

#: Runtimes that are no command, but left to a batch system that knows them.
BATCH_RUNTIMES = ("htcondor-apptainer", "htcondor-singularity")


class ContainerSpec(Spec):
    """The table ``[pools.NAME.container]`` or ``[controller.container]``: the image that processes run in.

    ``htcondor-apptainer`` and ``htcondor-singularity`` leave it to the batch system
    (``+ApptainerImage``, ``MY.SingularityImage``); the others become a prefix of the worker's command.
    """

    #: what starts the image; none: no container
    runtime: Literal[
        "none", "shifter", "podman-hpc", "apptainer", "htcondor-apptainer", "htcondor-singularity"
    ] = "none"
    #: registry name, SIF file, or unpacked tree as under /cvmfs/unpacked.cern.ch; empty: the site's
    image: str = ""
    #: HOST:CONTAINER
    binds: tuple[str, ...] = ()
    #: shifter modules, as gpu and cvmfs
    modules: tuple[str, ...] = ()
    #: variables set inside
    env: dict[str, str] = Field(default_factory=dict)
    #: Python inside; without a container: empty for the one that runs submit
    python: str = ""


class JobSpec(Spec):
    """The table ``[pools.NAME.job]``: how the workers of a pool become batch jobs."""

    #: minutes until the batch system ends the job; no chunk is given out that can't end before
    walltime_min: PositiveInt = 60
    #: workers of one job; more than one need a launcher
    workers_per_job: PositiveInt = 1
    #: SLURM: what starts the workers of a job side by side, as "srun --ntasks-per-node=4"
    launcher: str = ""
    #: shell text that each worker takes as its CUDA_VISIBLE_DEVICES before Python starts, as
    #: "$((3-SLURM_LOCALID))"; empty: what the batch system sets
    visible_gpus: str = ""
    #: SLURM partition, PBS or Grid Engine queue; empty where the site wants a directive in its place
    queue: str = ""
    #: account or project that is charged; empty: the site's, or the user's default there
    account: str = ""
    #: GPUs of the job: HTCondor's request_gpus, PBS's ngpus, Grid Engine's gpu; for SLURM write a directive
    gpus: NonNegativeInt = 0
    #: HTCondor's RequestDisk
    disk_gib: Positive = 4.0
    #: options behind #SBATCH, #PBS or #$
    directives: tuple[str, ...] = ()
    #: HTCondor: lines of the submit file
    attributes: dict[str, str] = Field(default_factory=dict)
    #: lines that the site does not want: parts of generated directives, or keys of HTCondor's submit file
    skip: tuple[str, ...] = ()
    #: more options of sbatch, condor_submit or qsub, as -spool
    submit_args: tuple[str, ...] = ()
    #: nodes see the output folder and the model under the paths that submit sees; if not (HTCondor, attach)
    #: model and certificates travel with the job, and parts come home through the scheduler
    shared_disk: bool = True
    #: HTCondor: the campaign's certificates travel with the job, as they do without a shared disk
    ship_certificates: bool = False
    #: shell lines before the worker starts
    prologue: tuple[str, ...] = ()
    #: more options of ``dask worker``, as --worker-port
    worker_args: tuple[str, ...] = ()
    #: node-local folder for the worker's scratch; empty: the batch system's
    local_directory: str = "/tmp"  # noqa: S108 - a node's own disk
    #: folder for the jobs' logs, seen by submit too; empty: logs in the output folder
    log_directory: str = ""
    #: network interface of workers and scheduler; empty: that of the default route
    interface: str = ""
    #: network interface of the scheduler where its host names it otherwise; empty: `interface`
    scheduler_interface: str = ""
    #: first and last port that the scheduler may use, any free one of them; none: any
    scheduler_ports: tuple[PositiveInt, PositiveInt] | None = None
    #: seconds between two looks at the queue
    poll_s: Positive = 10.0
    #: seconds after which a worker that finds no scheduler ends its job
    death_timeout_s: PositiveInt = 300
    #: seconds that a worker which was told to end (SIGTERM) may spend on its chunks before it hands them
    #: back; a few less than the batch system leaves it: SLURM's KillWait or GraceTime, HTCondor's vacate time
    notice_s: NonNegativeInt = 20
    #: jobs that end before their worker joins: so many in a row stop the pool
    start_failures: PositiveInt = 3
    #: jobs in place of lost ones, in all
    replacements: NonNegativeInt = 1000

    @model_validator(mode="after")
    def _launched(self) -> JobSpec:
        if self.workers_per_job > 1 and not self.launcher:
            number = self.workers_per_job
            tasks = f"--ntasks={number}"
            todo = (
                f'for SLURM write launcher = "srun {tasks}" and directives = ["{tasks}", "--mem=..."]; '
                "with other batch systems leave workers_per_job at 1"
            )
            raise ValueError(f"launcher: missing for {number} workers in a job: {todo}")
        return self
