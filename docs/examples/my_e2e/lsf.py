"""Batch system: IBM Spectrum LSF, with its commands bsub, bjobs and bkill."""

import re
import shlex
from typing import ClassVar

from e2edist.pools.api import BatchSystem, call, jobqueue_script, worker_command

#: LSF's states; a job in another one is gone.
STATES = {"PEND": "queued", "RUN": "running", "USUSP": "running", "SSUSP": "running", "UNKWN": "running"}


class LSF(BatchSystem):
    """LSF as a batch system."""

    title = "LSF"
    commands = ("bsub", "bjobs", "bkill")
    probe = ("bjobs",)
    unsupported: ClassVar = {
        "attributes": "write job.directives",
        "gpus": 'write job.directives, as "-gpu num=1"',
    }

    def job_script(self, job, name):
        """Return the job script of the worker `name`."""
        spec, table = job.spec, job.spec.job
        log = shlex.quote(f"{job.logs}/{job.title}-%J")
        return jobqueue_script(
            "LSFJob",
            job,
            job.settings()
            | {
                "name": name,
                "queue": table.queue or "normal",
                "project": table.account or "default",
                "ncpus": spec.threads or 1,
                "mem": round((spec.memory_gib or 2) * 2**30),
                "walltime": f"{table.walltime_min // 60:02d}:{table.walltime_min % 60:02d}",
                "lsf_units": "mb",
                "use_stdin": True,
                "shebang": "#!/usr/bin/env bash",
                "job_extra_directives": [f"-o {log}.out", f"-e {log}.err", *table.directives],
                "python": worker_command(spec.container, table, name, gpu=spec.provider != "cpu"),
            },
        )

    def controller_script(self, controller):
        """Return the job script of a controller."""
        spec = controller.spec
        options = [f"-J {controller.title}", f"-n {spec.cores}", f"-W {spec.walltime_min}", *spec.directives]
        return "\n".join(["#!/bin/bash", *(f"#BSUB {one}" for one in options), controller.commands()])

    def submit_text(self, text, arguments=()):
        """Submit a script; return the job's number, of "Job <123> is submitted to queue <normal>."."""
        return re.search(r"<(\d+)>", call("bsub", *arguments, text=text))[1]

    def states(self, ids):
        """Return job number -> state of those jobs that are not gone."""
        wanted = set(ids)
        rows = [line.split() for line in call("bjobs", "-noheader", "-o", "jobid stat").splitlines()]
        return {number: STATES[state] for number, state in rows if number in wanted and state in STATES}

    def cancel(self, ids):
        """Remove jobs."""
        if ids := list(ids):
            call("bkill", *ids)

    def log_names(self, job, number):
        """Return the names of a job's logs, the most telling one first."""
        return f"{job.title}-{number}.err", f"{job.title}-{number}.out"


SYSTEM = LSF()
