"""A person's own site file, which extends one that comes with e2edist: read, checked, compared, written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from e2edist import __version__
from e2edist.config.site import PoolSpec, SiteSpec, parse_layers
from e2edist.config.site_facts import find_fact_faults
from e2edist.config.site_files import Layer, read_layers, shipped_sites, user_site_folder
from e2edist.config.site_settings import read_settings
from e2edist.config.site_text import site_text
from e2edist.config.text_files import read_text
from e2edist.config.toml_models import read_toml
from e2edist.errors import ConfigError, OutputError, unknown_name
from e2edist.pools import is_batch
from e2edist.storage.publish import publish


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A site file to be written.

    Attributes
    ----------
    site : str
        The site that it extends.
    path : Path
        Where it lies, or will lie.
    layers : list of Layer
        Of the site that it extends.
    base : SiteSpec
        That site.
    old : dict
        What the file says already, if it extends the same site.
    """

    site: str
    path: Path
    layers: list[Layer]
    base: SiteSpec
    old: dict[str, Any]

    @classmethod
    def find(cls, site: str, path: Path | None) -> SiteFile:
        """Return the file of a site: `path`, or where ``--site`` looks for it.

        Raises
        ------
        UnknownNameError, ConfigError
            There is no such site, nobody knows the home folder, or a file that is there has faults.
        """
        known = shipped_sites()
        if site not in known:
            raise unknown_name("site", site, known)
        own = user_site_folder()
        if path is None and own is None:
            raise ConfigError("init", "there is no home folder", "Name the file with --file.")
        place = path or (own or Path()) / f"{site}.toml"
        if place.suffix != ".toml":
            raise ConfigError("--file", f"{place} is no TOML file by its name", "Let it end in .toml.")
        layers = read_layers(known[site])
        old = read_toml(place) if place.is_file() else {}
        old = old if old.get("extends") == site else {}
        return cls(
            site, place, layers, parse_layers(layers), {k: v for k, v in old.items() if k != "extends"}
        )

    @property
    def name(self) -> str:
        """What ``--site`` takes for it."""
        return self.path.stem if self.path.parent == user_site_folder() else str(self.path)

    def settings(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the keys of ``KEY=VALUE``."""
        return read_settings(self.layers, texts)

    def check(self, content: dict[str, Any]) -> SiteSpec:
        """Return the site that the file would make, with its default pools alone.

        Raises
        ------
        ConfigError
            A key has a fault, or a fact is that of an example.
        """
        site = parse_layers([*self.layers, Layer(str(self.path), content)])
        site = site.only(site.default_pools or site.pools)
        for fault in find_fact_faults(site, detached=True):
            raise ConfigError(f"site {self.site}", fault.text, f"Give --{fault.fact} with yours.")
        return site

    def text(self, content: dict[str, Any], site: SiteSpec) -> str:
        """Return the whole file: what was answered, then what people may want to change, as a comment.

        Parameters
        ----------
        site : SiteSpec
            What `check` returns for `content`.
        """
        taken = content.get("pools", {})
        example = {
            name: _sizes(pool) | {"job": {"walltime_min": pool.job.walltime_min}}
            if is_batch(pool.kind)
            else {"workers": pool.workers, "threads": pool.threads}
            for name, pool in site.pools.items()
            if name not in taken
        }
        title = self.base.description or self.site
        comments = [
            f"{title}, with what is yours.",
            f"Written by e2edist.init {self.site}, version {__version__}.",
            f'All else is as in site "{self.site}": python -m e2edist.show {self.site}',
        ]
        return site_text(self.site, content, comments, {"pools": example} if example else {})

    def refuse_other(self, text: str, *, show: Callable[[str], None], agree: Callable[[], bool]) -> None:
        """Show how a file that is there would change, and refuse that unless somebody agrees.

        Raises
        ------
        ConfigError
            Nobody does.
        """
        there = read_text(self.path) if self.path.exists() else text
        if there == text:
            return
        for line in unified_diff(there.splitlines(), text.splitlines(), str(self.path), "new", lineterm=""):
            show(line)
        if not agree():
            raise ConfigError(
                str(self.path), "is there and would change", "Give --force to replace it, or another --file."
            )

    def write(self, text: str) -> bool:
        """Write the file, whole or not at all; return whether it changed.

        Raises
        ------
        OutputError
            It can't be written.
        """
        try:
            if self.path.exists() and read_text(self.path) == text:
                return False
            with publish(self.path) as draft:
                draft.write_text(text, encoding="utf-8")
        except OSError as error:
            todo = "Name another file with --file."
            raise OutputError(str(self.path), f"can't be written ({error.strerror})", todo) from error
        return True


def _sizes(pool: PoolSpec) -> dict[str, Any]:
    """Return what people change first, so that jobs fit into nodes."""
    gib = pool.memory_gib
    memory = {"memory_gib": int(gib) if gib.is_integer() else gib} if gib else {}
    return {"workers": pool.workers, "threads": pool.threads} | memory
