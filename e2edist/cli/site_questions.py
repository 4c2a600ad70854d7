"""The few things that a site asks of a person, answered on a terminal, by options, or by what is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from e2edist.checks.host import nearest
from e2edist.checks.site_answers import known_accounts, known_images, known_partitions
from e2edist.cli.arguments import split_names
from e2edist.config._batch_systems import takes_account
from e2edist.config.controller import PROCESS
from e2edist.config.site_facts import is_placeholder
from e2edist.config.site_files import merged
from e2edist.config.site_options import split_image
from e2edist.counted import counted
from e2edist.errors import ConfigError, unknown_name
from e2edist.pools import is_batch
from e2edist.process import expand_home

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.config.site import PoolSpec, SiteSpec

#: What the name of an image looks like.
_EXAMPLES = {
    "shifter": "docker:me/e2edist:1.0-cu13",
    "podman-hpc": "docker.io/me/e2edist:1.0-cu13",
    "apptainer": "/path/e2edist-cpu.sif",
    "htcondor-apptainer": "/cvmfs/unpacked.cern.ch/...",
    "htcondor-singularity": "/cvmfs/unpacked.cern.ch/...",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What was answered before anybody is asked.

    Attributes
    ----------
    account : str
    images : mapping of str to str
        Pool -> image; "" -> that of all others.
    pools : tuple of str
        To use by default; empty: not answered.
    options : frozenset of str
        Which of these were answered on the command line, and are not asked.
    queues : mapping of str to str
        Pool -> partition or queue that a file or an option says.
    queue : str
        Of all pools, and of the controller.
    """

    account: str
    images: dict[str, str]
    pools: tuple[str, ...]
    options: frozenset[str] = frozenset()
    queues: dict[str, str] = field(default_factory=dict)
    queue: str = ""


class Asker:
    """Asks on a terminal; elsewhere takes what is likely, and remembers what nobody could answer.

    Attributes
    ----------
    missing : list of str
        Options that would have answered.
    """

    def __init__(self, console: Console, *, asks: bool) -> None:
        self._console, self.asks = console, asks
        self.missing: list[str] = []

    def tell(self, text: str) -> None:
        """Print what helps to answer; nothing where nobody is asked."""
        if self.asks:
            self._console.print(text)

    def agree(self, what: str) -> bool:
        """Return whether somebody says yes."""
        return self.asks and self.ask(f"{what} (y/n)", "n", fault=_no_answer).lower() in ("y", "yes")

    def ask(
        self, what: str, default: str, option: str = "", fault: Callable[[str], str] = lambda _: ""
    ) -> str:
        """Return the answer, or the default for an empty one.

        Parameters
        ----------
        option : str
            What answers it on the command line; empty: it may stay unanswered.
        fault : callable
            Returns what is wrong with an answer, or nothing.
        """
        while self.asks:
            hint = f" [{default}]" if default else "" if option else " [none]"
            try:
                answer = self._console.input(f"{what}{hint}: ", markup=False).strip() or default
            except (EOFError, KeyboardInterrupt) as end:
                self._console.print("")  # what comes next is not to stand behind the question
                if isinstance(end, KeyboardInterrupt):
                    raise
                self.asks = False
                break
            wrong = fault(answer) if answer else "It is needed." if option else ""
            if not wrong:
                return answer
            self._console.print(f"  {wrong}")
        if option and not default:
            self.missing.append(option)
        return default


def _no_answer(text: str) -> str:
    return "" if text.lower() in ("y", "yes", "n", "no") else "Answer y or n."


def ask_site(site: SiteSpec, known: Known, asker: Asker) -> dict[str, Any]:
    """Return the keys of a site file with all that was answered.

    Raises
    ------
    ConfigError
        Something is not known, and nobody is there to ask; it names the options.
    """
    names = _ask_pools(site, known, asker)
    pools = {name: site.pools[name] for name in names}
    content: dict[str, Any] = {"default_pools": list(names)} if len(site.pools) > 1 else {}
    content |= _ask_account(site, known, asker)
    content = merged(content, ask_queues(site, pools, known, asker))
    content = merged(content, _ask_images(pools, known, asker))
    content = merged(content, _ask_logs(pools, asker))
    if asker.missing:
        facts = [option.split()[0].removeprefix("--") for option in asker.missing]
        what = f"needs {' and '.join(facts)}"
        todo = f"Give {' '.join(asker.missing)}, or answer on a terminal (without --yes)."
        raise ConfigError(f"site {site.name}", what, todo)
    return content


def _ask_pools(site: SiteSpec, known: Known, asker: Asker) -> tuple[str, ...]:
    def fault(text: str) -> str:
        wrong = [name for name in split_names(text) if name not in site.pools]
        return str(unknown_name("pool", wrong[0], site.pools)) if wrong else ""

    if known.pools and (wrong := fault(",".join(known.pools))):
        raise ConfigError("--pools", wrong)
    default = known.pools or site.default_pools or tuple(site.pools)
    if len(site.pools) == 1 or not asker.asks or "pools" in known.options:
        return default
    asker.tell("Pools of this site:")
    for name, pool in site.pools.items():
        asker.tell(f"  {name:12} {_describe(pool)}")
    what = "Pools that a campaign uses by default"
    return split_names(asker.ask(what, ",".join(default), "--pools", fault))


def _describe(pool: PoolSpec) -> str:
    walltime = f", {pool.job.walltime_min / 60:.3g} h" if is_batch(pool.kind) else ""
    workers = f"{counted(pool.workers or 1, 'worker')} of {counted(pool.threads or 1, 'thread')}"
    return f"{pool.kind}, {workers}, {pool.provider}{walltime}"


def _ask_account(site: SiteSpec, known: Known, asker: Asker) -> dict[str, Any]:
    kinds = (*(pool.kind for pool in site.pools.values()), site.controller.kind)
    if not any(map(takes_account, kinds)):
        return {}
    if "account" in known.options:
        return {"account": known.account}
    needed, found = "account" in site.needs, known_accounts()
    if not (needed or found or known.account):
        return {}
    if len(found) > 1:
        asker.tell(f"Accounts of yours: {', '.join(found)}")
    default = known.account or (found[0] if found and (needed or asker.asks) else "")
    option = "--account NAME" if needed else ""
    while True:
        account = asker.ask("Account or project that is charged", default, option, _fault_of("account"))
        strange = asker.asks and found and account and account not in found
        if not strange or asker.agree(f"{account} is none that SLURM lists for you. Take it"):
            return {"account": account} if account else {}


def ask_queues(site: SiteSpec, pools: dict[str, PoolSpec], known: Known, asker: Asker) -> dict[str, Any]:
    """Ask for the partition of pools that name none, where SLURM has several, or no default one."""
    if known.queue:
        return _with_queue(site, pools, known.queue)
    open_ = [
        name
        for name, pool in pools.items()
        if pool.kind == "slurm" and not (pool.job.queue or pool.job.directives or name in known.queues)
    ]
    found, default = known_partitions() if open_ else ([], "")
    if not found or (default and (len(found) == 1 or not asker.asks)):
        return {}
    asker.tell(f"Partitions here: {', '.join(found)}" + (f"; by default {default}" if default else ""))

    def fault(text: str) -> str:
        return "" if text in found else str(unknown_name("partition", text, found))

    content: dict[str, Any] = {}
    for name in open_:
        option = "" if default else "--queue NAME"
        likely = default or (found[0] if len(found) == 1 else "")
        queue = asker.ask(f"Partition for the jobs of pool {name}", likely, option, fault)
        if queue and queue != default:
            content = merged(content, {"pools": {name: {"job": {"queue": queue}}}})
            if not default and site.controller.kind == "slurm" and not site.controller.queue:
                content = merged({"controller": {"queue": queue}}, content)
    return content


def _with_queue(site: SiteSpec, pools: dict[str, PoolSpec], queue: str) -> dict[str, Any]:
    """Return the keys for a partition or queue of all jobs; a batch system that has none refuses it."""
    jobs = {name: {"job": {"queue": queue}} for name, pool in pools.items() if is_batch(pool.kind)}
    if not jobs:
        raise ConfigError("--queue", f"site {site.name} submits no jobs", "Leave it out.")
    controller = {"controller": {"queue": queue}} if site.controller.kind != PROCESS else {}
    return {"pools": jobs} | controller


def _fault_of(fact: str) -> Callable[[str], str]:
    """Return what `Asker.ask` asks of an answer: words of an example are none."""
    return lambda text: f"{text} is an example: name a real {fact}." if is_placeholder(fact, text) else ""


def _ask_images(pools: dict[str, PoolSpec], known: Known, asker: Asker) -> dict[str, Any]:
    """Ask for one image, and for one of the GPU pools where there are others beside them."""
    inside = {name: pool for name, pool in pools.items() if pool.container.runtime != "none"}
    given = {name: image for name, image in known.images.items() if name}
    content: dict[str, Any] = (
        {"pools": {n: {"container": {"image": i}} for n, i in given.items()}} if given else {}
    )
    open_ = {name: pool for name, pool in inside.items() if name not in given}
    if not open_:
        return content | ({"image": known.images[""]} if "" in known.images else {})
    found = known_images(pool.container.runtime for pool in open_.values())
    if found:
        asker.tell("Images that are here:")
        for image in found:
            asker.tell(f"  {image}")
    default = known.images.get("", "") or (found[0] if len(found) == 1 else "")
    asks = "images" not in known.options or not default
    example = _EXAMPLES.get(next(iter(open_.values())).container.runtime, "")
    what = "Container image that workers run in" + (f", as {example}" if example and not default else "")
    fault = _fault_of("image")
    image = asker.ask(what, default, "--image IMAGE", fault) if asks else default
    content |= {"image": image} if image else {}
    on_gpu = [name for name, pool in open_.items() if pool.provider != "cpu"]
    if asker.asks and asks and on_gpu and len(on_gpu) < len(inside):
        other = asker.ask(f"Image of {', '.join(on_gpu)}, if it is another one", image, fault=fault)
        if other != image:
            content = merged(content, {"pools": {n: {"container": {"image": other}} for n in on_gpu}})
    return content


def _ask_logs(pools: dict[str, PoolSpec], asker: Asker) -> dict[str, Any]:
    """Ask for another folder where the site's own one for the logs of jobs can't be written."""
    content: dict[str, Any] = {}
    for name, pool in pools.items():
        named = pool.job.log_directory
        if not asker.asks or not named or _is_writable(named):
            continue
        asker.tell(f"The site's folder for logs of pool {name} can't be written here: {named}")
        folder = asker.ask("Folder for them that the nodes see", named)
        if folder != named:
            content = merged(content, {"pools": {name: {"job": {"log_directory": folder}}}})
    return content


def _is_writable(folder: str) -> bool:
    path = expand_home(os.path.expandvars(folder))
    # The last folder is made by submit; that more are missing shows another host.
    return path.parent.is_dir() and os.access(nearest(path), os.W_OK)


def read_images(texts: Iterable[str], site: SiteSpec) -> dict[str, str]:
    """Return pool -> image of ``IMAGE`` and ``POOL=IMAGE``; "" is for all pools that are not named.

    Raises
    ------
    ConfigError
        There is no such pool, or no image is named.
    """
    found = {}
    for text in texts:
        name, image = split_image(text, "--image")
        if name and name not in site.pools:
            raise ConfigError("--image", f"{text}: {unknown_name('pool', name, site.pools)}")
        found[name] = image
    return found
