"""Sites: where workers run, one TOML file each. Nothing in it decides a number."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from e2edist.errors import unknown_name
from e2edist.urls import given_path

from ._batch_systems import check_pool
from ._types import Positive
from .charge import ChargeSpec
from .controller import ControllerSpec
from .dask_table import check_table
from .inputs import InputSpec
from .jobs import ContainerSpec, JobSpec
from .toml_models import Spec, parse, read_toml


class PoolSpec(Spec):
    """Workers of one kind."""

    #: module of `e2edist.pools`
    kind: str = "local"
    #: worker processes; 0: the number that the kind chooses
    workers: NonNegativeInt = 0
    #: kind local: workers that may share a GPU; each has one of its own where there are enough
    workers_per_gpu: PositiveInt = 1
    #: batch jobs: grow up to so many workers while there are chunks for more, and let idle ones end; 0: don't
    workers_most: NonNegativeInt = 0
    #: threads of a worker, which share one model; 0: all cores
    threads: NonNegativeInt = 0
    #: memory of one worker; none: not limited
    memory_gib: Positive | None = None
    #: kind attach: address of a running Dask scheduler, tcp://host:port or tls://host:port
    scheduler: str = ""
    #: encrypt, and refuse whoever has not the campaign's certificates
    tls: bool = False
    #: folder with ca.pem, key.pem and cert.pem; empty: .tls of the output folder, made where it is missing
    tls_folder: str = ""
    #: module of `e2edist.engines`
    engine: str = "onnx"
    #: the engine's own options that decide no number, where it has such, as the address of a server
    engine_options: dict[str, Any] = Field(default_factory=dict)
    #: what runs the model; there is no falling back to another
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    #: images in one model call; 0: as the tagger says
    batch: NonNegativeInt = 0
    #: how images reach the model: dense, or as lists of pixels (sparse); auto: as the profile says, or dense
    images: Literal["auto", "dense", "sparse"] = "auto"
    #: threads inside one model call, on top of the worker's; 0: as the profile says, or 1
    intra_op: NonNegativeInt = 0
    #: model sessions of a worker, which its threads take in turn; 0: as the profile says, or 1
    sessions: NonNegativeInt = 0
    #: how cuDNN chooses its convolutions; exhaustive measures them all at each start
    conv_search: Literal["heuristic", "exhaustive", "default"] = "heuristic"
    #: tuning profile for what is left at 0 or auto: the one that fits (auto), none, or a file
    profile: str = "auto"
    #: kinds whose workers are batch jobs
    job: JobSpec = JobSpec()
    container: ContainerSpec = ContainerSpec()
    #: what the site takes for it
    charge: ChargeSpec = ChargeSpec()

    @model_validator(mode="after")
    def _supported(self) -> PoolSpec:
        check_pool(self.kind, self.job, self.container, self.workers_most)
        if 0 < self.workers_most < (self.workers or 1):
            raise ValueError(f"workers_most: {self.workers_most} is less than workers, {self.workers or 1}")
        return self


class SiteSpec(Spec):
    """A site: its pools by name."""

    #: of the site, shown in plans and reports
    name: str
    #: for people
    description: str = ""
    pools: dict[str, PoolSpec] = Field(min_length=1)
    #: how inputs are read: other servers, copies on the node's own disk
    inputs: InputSpec = InputSpec()
    #: where ``submit --detach`` runs
    controller: ControllerSpec = ControllerSpec()
    #: Dask's own configuration, beyond its defaults and our settings, for scheduler, workers and client: keys
    #: as in ``"distributed.comm.timeouts.connect" = "120s"``, or tables in tables
    dask: dict[str, Any] = Field(default_factory=dict)

    @field_validator("dask")
    @classmethod
    def _known_to_dask(cls, table: dict[str, Any]) -> dict[str, Any]:
        return check_table(table)

    def attached(self, scheduler: str, tls_folder: str) -> SiteSpec:
        """Return the site with the workers of a running Dask scheduler in place of its own."""
        pool = {"kind": "attach", "scheduler": scheduler, "tls_folder": tls_folder}
        return parse(SiteSpec, self.model_dump() | {"pools": {"attach": pool}}, "command line")

    def with_pools(self, workers: dict[str, int], threads: int | None) -> SiteSpec:
        """Return the site with other numbers of workers, by pool, and of threads.

        Where pools are named, only these are used: a site file may hold more than one campaign wants.

        Raises
        ------
        UnknownNameError
            There is no such pool.
        """
        for name in workers:
            if name not in self.pools:
                raise unknown_name(f"pool of site {self.name}", name, self.pools)
        change = {} if threads is None else {"threads": threads}
        pools = {
            name: pool.model_dump() | change | ({"workers": workers[name]} if name in workers else {})
            for name, pool in self.pools.items()
            if name in workers or not workers
        }
        return parse(SiteSpec, self.model_dump() | {"pools": pools}, "command line")


def threads_of(pool: PoolSpec) -> int:
    """Return the threads of one worker of a pool."""
    cores = len(os.sched_getaffinity(0))
    return pool.threads or max(1, cores // (pool.workers or 1))


def site_folder() -> Path:
    """Return the folder of the site files that come with the package or its checkout."""
    package = Path(str(files("e2edist")))
    installed = package / "site-configs"
    return installed if installed.is_dir() else package.parent / "site-configs"


def load_site(name: str) -> SiteSpec:
    """Return a site by name, or by the path of a TOML file.

    Raises
    ------
    ConfigError, UnknownNameError
        The file has faults, or there is no such site.
    """
    known = {path.stem: path for path in sorted(site_folder().glob("*.toml"))}
    path = given_path(name, "--site") if name.endswith(".toml") else known.get(name)
    if path is None:
        raise unknown_name("site", name, known)
    return parse(SiteSpec, read_toml(path), str(path))
