"""What every test may use, and how pytest runs and sums up all of them."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

#: Words in a test's file, name or parameters, and the cluster or image that it needs: in parallel runs all
#: tests of one of these go to one process. The first word counts.
SHARED = {"image_jobs": "image", "apptainer_image": "image"} | {
    name: name for name in ("slurm", "htcondor", "sge")
}


# Under nohup a process ignores SIGHUP, in a shell's background SIGINT, and so would all that tests start.
for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
# Commands are printed as in an active environment, in tests and in what they start.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# What the user's own campaigns run with is no part of a test.
for variable in ("E2EDIST_ACCOUNT", "E2EDIST_IMAGE"):
    os.environ.pop(variable, None)


def _required(name: str) -> bool:
    return name in os.environ.get("E2EDIST_REQUIRE", "").split(",")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on a cluster, or in an image that has to be built, are slow."""
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        wanted = {*getattr(item, "fixturenames", ()), parameters.get("system")}
        if wanted & {"image", "slurm", "htcondor", "sge"}:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share tests out one by one, but those of a cluster together; xdist's groups need an older pytest."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCluster(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((SHARED[word] for word in SHARED if word in nodeid), nodeid)

    return ByCluster(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up what was tried twice and why, and what was skipped: a line a reason."""
    again = terminalreporter.stats.get("rerun", ())
    if again:
        terminalreporter.section("tried again (--reruns), as the first try failed", "=")
    for report in again:
        terminalreporter.line(f"{report.nodeid}: {_crash(report)}")
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    if reasons:
        terminalreporter.section("skipped: how many, and what they need", "=")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:5d}  {reason}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _crash(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.partition("\n")[0] if crash else str(report.longrepr)[-200:]


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the 659 real CMS events; see CONTRIBUTING.md."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("E2EDIST_DATA", default))
    if not (folder / "root").is_dir():
        if _required("data"):
            pytest.fail(f"E2EDIST_REQUIRE names data, and {folder} has none")
        pytest.skip(f"no real events at {folder}; set E2EDIST_DATA")
    return folder
