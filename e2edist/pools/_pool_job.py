"""What the jobs of a pool are made from, and what is the same in the job scripts of all batch systems."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2edist.config.site import PoolSpec
from e2edist.process import expand_home
from e2edist.records.folder import CampaignFolder

from ._certificates import worker_options
from ._containers import check_job_path, inner_exports
from ._dask_scope import configured

#: Stands in previews for the address that only a run knows.
NO_ADDRESS = "tls://SCHEDULER:PORT"


@dataclass(frozen=True, slots=True)
class PoolJob:
    """What the jobs of a pool are made from.

    Attributes
    ----------
    pool : str
        Its name.
    spec : PoolSpec
    folder : Path
        Of the campaign; all nodes see it unless ``job.shared_disk`` is false.
    address : str
        Of the scheduler.
    dask_table : str
        The site's table ``[dask]`` as JSON, empty where there is none.
    """

    pool: str
    spec: PoolSpec
    folder: Path
    address: str = NO_ADDRESS
    dask_table: str = ""

    @property
    def title(self) -> str:
        """Name of the jobs in the queue."""
        return f"e2edist-{self.pool}"

    @property
    def threads(self) -> int:
        """Threads of a worker."""
        return self.spec.threads or 1

    @property
    def memory_gib(self) -> float:
        """Memory of a worker, 2 GiB a thread where none is given."""
        return self.spec.memory_gib or 2 * self.threads

    @property
    def certificates(self) -> Path:
        """Folder of the campaign's certificates."""
        return certificates_folder(self.spec, self.folder)

    @property
    def logs(self) -> Path:
        """Folder of the jobs' logs.

        Raises
        ------
        ConfigError
            It can't stand in a job script.
        """
        named = self.spec.job.log_directory
        folder = expand_home(os.path.expandvars(named)) if named else CampaignFolder(self.folder).job_logs
        check_job_path(folder)
        return folder

    def settings(self, certificates: Path | None = None) -> dict[str, Any]:
        """Return the arguments of a job class of dask-jobqueue that are the same for all batch systems.

        Parameters
        ----------
        certificates : Path, optional
            Their folder as the job sees it, where they travel with it.
        """
        job = self.spec.job
        return {
            # All there are: dask-jobqueue looks up in Dask's configuration what is missing or None.
            "job_name": self.title,
            "cores": self.threads,
            "memory": f"{self.memory_gib}GiB",
            "processes": 1,
            "protocol": self.address.split("://", maxsplit=1)[0] + "://",
            "worker_command": "e2edist.pools._worker",
            "death_timeout": job.death_timeout_s,
            "local_directory": job.local_directory or None,
            "job_script_prologue": [*inner_exports(self.spec.container), *job.prologue],
            "job_directives_skip": list(job.skip),
            "interface": job.interface,
            "worker_extra_args": [
                "--resources",
                shlex.quote(f"{resource_of(self.pool)}={self.threads}"),
                "--no-dashboard",
                *(["--dask-table", shlex.quote(self.dask_table)] if self.dask_table else []),
                # Here and not as dask-jobqueue's security, which quotes nothing.
                *worker_options(self.certificates if certificates is None else certificates),
                *job.worker_args,
            ],
        }


def as_clock(seconds: int) -> str:
    """Return a time as batch systems write it, HH:MM:SS."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def resource_of(pool: str) -> str:
    """Return the name of the Dask resource of a pool's workers."""
    return f"e2edist-{pool}"


def certificates_folder(spec: PoolSpec, folder: Path) -> Path:
    """Return the folder of the certificates of the campaign in `folder`."""
    return Path(spec.tls_folder) if spec.tls_folder else CampaignFolder(folder).certificates


def jobqueue_script(job_class: str, job: PoolJob, settings: Mapping[str, Any]) -> str:
    """Return the job script that a job class of dask-jobqueue writes, such as SLURMJob.

    Parameters
    ----------
    settings : mapping
        Arguments of the class: those of `PoolJob.settings`, and those that only this class has.
    """
    # What a class looks up must be its own defaults, whatever the user's files say.
    with configured():
        from ._jobqueue import JOB_CLASSES  # Dask, which nobody needs who only asks the queue

        made: Any = JOB_CLASSES[job_class](job.address, **settings)
        return str(made.job_script())
