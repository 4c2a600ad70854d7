"""Sites: where workers run, one TOML file each. Nothing in it decides a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator, model_validator

from e2edist.errors import ConfigError, nearest, unknown_name
from e2edist.process import usable_cores

from ._batch_systems import check_pool, takes_account
from ._types import Positive
from .charge import ChargeSpec
from .controller import ControllerSpec
from .dask_table import check_table
from .inputs import InputSpec
from .jobs import ContainerSpec, JobSpec
from .scheduler_address import check_scheduler
from .site_files import Layer, merged, read_layers, site_path
from .toml_models import Spec, parse, to_tuples


class PoolSpec(Spec):
    """Workers of one kind."""

    #: module of `e2edist.pools`
    kind: str = "local"
    #: worker processes; 0: one (attach: those that are there). Which pools run, default_pools and --pools say
    workers: NonNegativeInt = 0
    #: kind local: workers that may share a GPU; each has one of its own where there are enough
    workers_per_gpu: PositiveInt = 1
    #: batch jobs: grow up to so many workers while there are chunks for more, and let idle ones end; 0: don't
    workers_most: NonNegativeInt = 0
    #: threads of a worker, which share one model; 0: one in a batch job; local: this host's cores, shared out
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

    @field_validator("scheduler")
    @classmethod
    def _is_address(cls, address: str) -> str:
        return check_scheduler(address)

    @model_validator(mode="after")
    def _supported(self) -> PoolSpec:
        check_pool(self.kind, self.job, self.container, self.workers_most)
        if 0 < self.workers_most < (self.workers or 1):
            raise ValueError(f"workers_most: {self.workers_most} is less than workers, {self.workers or 1}")
        return self


class SiteSpec(Spec):
    """A site: its pools by name."""

    #: of the site, shown in plans and reports; empty: the file's own
    name: str = ""
    #: for people
    description: str = ""
    #: a site that comes with e2edist by name, or a site file by its path from here: what this file leaves out
    #: is as it says; tables are taken key by key, lists and plain values replace
    extends: str = ""
    pools: dict[str, PoolSpec] = Field(default_factory=dict, min_length=1)
    #: pools that run where none are chosen (``--pools``, ``--workers gpu=4``); empty: all
    default_pools: tuple[str, ...] = ()
    #: account or project for the jobs of all pools, and for the controller's, that name none
    account: str = ""
    #: image for the containers of all pools, and for the controller's, that name none
    image: str = ""
    #: facts without which nothing is submitted
    needs: tuple[Literal["account", "image"], ...] = ()
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

    @field_validator("default_pools")
    @classmethod
    def _are_pools(cls, names: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            if name not in others.data.get("pools", names):
                raise ValueError(str(unknown_name("pool", name, others.data["pools"])))
        return names

    def attached(self, scheduler: str, tls_folder: str) -> SiteSpec:
        """Return the site with the workers of a running Dask scheduler in place of its own."""
        pool = {"kind": "attach", "scheduler": scheduler, "tls_folder": tls_folder}
        changes = {"pools": {"attach": pool}, "default_pools": ()}
        return parse(SiteSpec, self.model_dump() | changes, "command line")

    def only(self, names: Iterable[str]) -> SiteSpec:
        """Return the site with some of its pools alone.

        Raises
        ------
        UnknownNameError
            There is no such pool.
        """
        for name in names:
            if name not in self.pools:
                raise unknown_name(f"pool of site {self.name}", name, self.pools)
        pools = {name: self.pools[name] for name in names}
        return self.model_copy(update={"pools": pools, "default_pools": ()})

    def with_pools(self, workers: Mapping[str, int], threads: int | None) -> SiteSpec:
        """Return the site with other numbers of workers, by pool, and of threads.

        Where pools are named, only these are used: a site file may hold more than one campaign wants.

        Raises
        ------
        UnknownNameError
            There is no such pool.
        """
        site = self.only(workers) if workers else self
        change = {} if threads is None else {"threads": threads}
        pools = {
            name: pool.model_dump() | change | ({"workers": workers[name]} if name in workers else {})
            for name, pool in site.pools.items()
        }
        return parse(SiteSpec, site.model_dump() | {"pools": pools}, "command line")

    def with_shared_facts(self) -> SiteSpec:
        """Return the site with its account and image in all pools, and the controller, that name none."""
        pools = {}
        for name, pool in self.pools.items():
            job, container = pool.job, pool.container
            if not job.account and takes_account(pool.kind):
                job = job.model_copy(update={"account": self.account})
            pools[name] = pool.model_copy(update={"job": job, "container": self._with_image(container)})
        controller = self.controller
        changes: dict[str, Any] = {"container": self._with_image(controller.container)}
        if not controller.account and takes_account(controller.kind):
            changes["account"] = self.account
        return self.model_copy(update={"pools": pools, "controller": controller.model_copy(update=changes)})

    def _with_image(self, container: ContainerSpec) -> ContainerSpec:
        if container.runtime == "none" or container.image or not self.image:
            return container
        return container.model_copy(update={"image": self.image})


def threads_of(pool: PoolSpec) -> int:
    """Return the threads of one worker of a pool."""
    cores = usable_cores()
    return pool.threads or max(1, cores // (pool.workers or 1))


def load_site(name: str) -> SiteSpec:
    """Return a site by name, or by the path of a TOML file, as its files say: with all of its pools.

    Raises
    ------
    ConfigError, UnknownNameError
        A file has faults, or there is no such site.
    """
    return parse_layers(read_layers(site_path(name)))


def parse_layers(layers: Sequence[Layer]) -> SiteSpec:
    """Return the site of some layers, each of which changes what those before it say.

    Raises
    ------
    ConfigError
        Faults, of the first layer that has any.
    """
    content, site = dict[str, Any](), SiteSpec(name="")
    for layer in layers:
        _refuse_strays(layer, site)
        content = merged(content, _with_dask_tables(layer.content))
        site = parse(SiteSpec, content, layer.where)  # one by one, so that the fault is of the layer
    if not site.pools:
        raise ConfigError(layers[-1].where, "pools: missing", "Write a table [pools.NAME], or extend a site.")
    return site.with_shared_facts()


def _refuse_strays(layer: Layer, site: SiteSpec) -> None:
    """Refuse keys of a pool that isn't there, unless they begin one: a mistyped name would go unnoticed.

    Raises
    ------
    ConfigError
        With the nearest names.
    """
    pools = layer.content.get("pools")
    for name, table in pools.items() if isinstance(pools, dict) and site.pools else ():
        if name not in site.pools and isinstance(table, dict) and "kind" not in table:
            known = nearest(name, site.pools)
            what = f"pools.{name}: there is no such pool in what it extends, {known}"
            raise ConfigError(layer.where, what, "A new pool names its kind.")


def _with_dask_tables(content: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a layer with its keys of Dask as tables in tables, so that they can be merged."""
    table = content.get("dask")
    if not isinstance(table, dict):
        return content
    try:
        return content | {"dask": check_table(to_tuples(table))}
    except ValueError:  # the model will say the same
        return content
