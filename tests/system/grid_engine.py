"""A throw-away cluster of Grid Engine, in the words that the tests of all batch systems share."""

from xml.etree import ElementTree

import pytest
from batch import Cluster, cluster, job_controller, pool_tables


class GridEngine(Cluster):
    """Grid Engine; states are queued, running and held."""

    kind, script = "sge", "gridengine"
    shape = ("--nodes", 2, "--gpu-nodes", 1, "--gpus", 2, "--cpus", 64, "--memory", 400000, "--notify", 10)

    def pool(self, name="cpu", workers=1, *, pool="", job="", **settings):
        """Return the tables of a pool; `pool` and `job` are more lines of theirs."""
        # The checkout under test is no installed package: jobs inherit our variables.
        own = {"queue": f"{name}.q", "directives": ["-V"], "gpus": int(name == "gpu")} | settings
        return pool_tables("sge", name, workers, pool, job, own)

    def both(self):
        """Return a pool of two CPU jobs, and one of two jobs with a GPU each."""
        return self.pool("cpu", 2) + self.pool("gpu", 2)

    def waits(self):
        """Return settings of a pool or controller that stays in the queue."""
        return {"directives": ["-V", "-a 203001010000"]}

    def refused(self):
        """Return settings of a pool or controller that is not taken."""
        return {"queue": "nowhere.q"}

    refusal = 'job requests unknown queue "nowhere.q"'
    #: what the host of a controller is called
    controller_host = "cpu"

    def controller(self, **settings):
        """Return the table of a controller that is a job."""
        # Memory is address space here.
        return job_controller("sge", {"queue": "cpu.q", "directives": ["-V"], "memory_gib": 3} | settings)

    def _rows(self):
        root = ElementTree.fromstring(self.call("qstat", "-xml", "-u", "*"))
        rows = {row.findtext("JB_job_number"): row for row in root.iter("job_list")}
        # A job that only has to end does not count.
        return {job: row for job, row in rows.items() if "d" not in row.findtext("state")}

    def queue(self):
        """Return id -> state of all jobs in the queue but those that are removed."""
        letters = {job: row.findtext("state") for job, row in self._rows().items()}
        words = {"r": "running", "t": "running", "qw": "queued", "hqw": "held"}
        return {job: words.get(state, state) for job, state in letters.items()}

    def nodes(self):
        """Return id -> node of all running jobs."""
        places = {job: row.findtext("queue_name") for job, row in self._rows().items()}
        return {job: place.split("@")[1] for job, place in places.items() if place}

    def text(self, job):
        """Return what runs as a job."""
        return (self.base / "qmaster" / "job_scripts" / job).read_text(encoding="utf-8")

    def remove(self, job):
        self.call("qdel", job)

    #: a job that is deleted has notice: ten seconds here
    notify = remove

    def clear(self):
        jobs = self._rows()
        if jobs:
            self.call("qdel", *jobs, check=False)


@pytest.fixture(scope="session")
def sge():
    """A Grid Engine cluster for all tests that want one."""
    with cluster(GridEngine, *GridEngine.shape) as one:
        yield one
