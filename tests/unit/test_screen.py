"""What stands on a terminal's screen: real processes on pseudo-terminals, read by a terminal in memory."""

import re
import sys

import pytest

POOLS = {"gpu": (8, 2, 6, 6), "gpu_shared": (4, 4, 0, 0), "preempt": (16, 9, 7, 7), "cpu": (128, 28, 99, 99)}
RUN = f"""
import sys, time
from e2edist.accounting.progress import Progress
from e2edist.cli.console import make_console
from e2edist.cli.progress import show_progress

console = make_console()
numbers = dict(rate=12345.6, rate_now=20000.4, eta_s=36001, pools={POOLS}, done_by={{"gpu": 1}})
with show_progress(console, "eg") as show:
    show(Progress(123456, 10**9, done=60000, failed=3, threads=9, **numbers))
    time.sleep(0.3)
    console.print("pool gpu: a line in between")
    time.sleep(float(sys.argv[1]))
console.print("the end")
"""


FIRST = {
    60: r"^. eg [━╸╺]+ 60,003/123,456 chunks, 0:00:0\d, ETA 10:00:01$",
    80: r"^. eg [━╸╺]{20,} 60,003/123,456 chunks, 0:00:0\d, ETA 10:00:01$",
    140: r"^. eg [━╸╺]{40} 60,003/123,456 chunks, 0:00:0\d, ETA 10:00:01$",
}
SECOND = {
    60: "  12,346 events/s, 3 failed, 4 pools 112/156 +43 queued",
    80: "  12,346 events/s, now 20,000/s, 3 failed, 4 pools 112/156 +43 queued",
    140: "  12,346 events/s, now 20,000/s, 3 failed, gpu 6/8 +2 queued, gpu_shared 0/4 +4 queued, "
    "preempt 7/16 +9 queued, cpu 99/128 +28 queued",
}


def _shown(run, columns):
    """Return the last two lines, once they are those of a width."""
    return run.read(
        lambda text: re.search(f"{FIRST[columns][:-1]}\n{re.escape(SECOND[columns])}", text, re.M)
    )


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_progress_of_a_run_is_whole_on_every_width(terminal, columns):
    run = terminal([sys.executable, "-c", RUN, "1"], columns)
    lines = run.read(lambda text: "in between" in text and re.search(r"\n  \d", text))
    above, first, second = lines[-3:]
    assert above == "pool gpu: a line in between"
    assert re.match(FIRST[columns], first), first
    assert second == SECOND[columns]
    # Nothing of it stays.
    assert run.read(lambda text: "the end" in text) == [above, "the end"]
    assert run.process.wait(10) == 0


def test_the_progress_follows_a_terminal_that_changes_its_width(terminal):
    run = terminal([sys.executable, "-c", RUN, "3"], 140)
    for columns in (140, 60, 80):
        run.resize(columns)
        _shown(run, columns)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_terminals_that_know_no_colour_get_none(terminal, environment):
    run = terminal([sys.executable, "-c", RUN, "0.2"], 80, environment)
    run.read(lambda text: "the end" in text)
    assert not re.search(rb"\x1b\[[\d;]*3[0-7]", run.raw)
    assert ("━" in run.raw.decode()) == ("NO_COLOR" in environment)
    if "TERM" in environment:
        assert b"\x1b[" not in run.raw
