"""A web server that is away for a while in the middle of a campaign costs time, and nothing else."""

import threading
import time

import pyarrow.compute as pc
import pytest
from runs import start, table
from servers import Web

from e2edist.records.plan import read_plan
from e2edist.records.verify import verify

#: The server comes back after so long. Far below what is waited for it, far above a quick repetition.
AWAY_S = 6.0


@pytest.fixture(scope="module")
def source(tmp_path_factory, make_small_clusters):
    """Return a folder of 600 events in clusters of 10."""
    folder = tmp_path_factory.mktemp("served")
    make_small_clusters(folder, "eg", 600, seed=1, size=10, files=1)
    return folder


class Flaky(Web):
    """Answers 503 to everything for `AWAY_S` after so many answers, in which something was read."""

    def __init__(self, folder, good):
        super().__init__(folder)
        self.good, self.lock, self.away_until, self.refused = good, threading.Lock(), None, 0

    def away(self):
        with self.lock:
            self.good -= 1
            if self.good < 0 and self.away_until is None:
                self.away_until = time.monotonic() + AWAY_S
            gone = self.away_until is not None and time.monotonic() < self.away_until
            self.refused += gone
            return gone


def campaign(folder, model, inputs, out):
    """Run a campaign to its end in `folder` and return exit code and what it said."""
    said = folder / f"{out}.said"
    with said.open("w") as stream:
        words = ("--input", *inputs, "--model", model, "--output", out, "--chunk-events", 20, "--threads", 2)
        words += ("--max-bad-fraction", 0.9)
        process = start((*words, "--workers", 1), folder, stdout=stream, stderr=stream)
        return process.wait(150), said.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, 30, 90])
def test_an_outage_of_six_seconds_leaves_no_row_without_keys(tmp_path, model, source, good):
    code, said = campaign(tmp_path, model, (source,), "local")
    assert code == 0, said
    with Flaky(source, good) as web:
        urls = [f"{web.url}/{path.name}" for path in source.glob("*.root")]
        code, said = campaign(tmp_path, model, urls, "remote")
        assert code == 0, said
        assert web.refused
    assert "bad baskets" not in (tmp_path / "remote" / "submit.log").read_text()
    rows = table(tmp_path / "remote")
    assert rows.equals(table(tmp_path / "local"))
    for key in ("run", "lumi", "event"):
        assert pc.sum(pc.is_null(rows[key])).as_py() == 0
    plan = read_plan(tmp_path / "remote")
    assert plan.skipped == ()
    found = verify(tmp_path / "remote", plan)
    assert (found.events, found.given_up) == (600, 0)
