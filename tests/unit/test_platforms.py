"""What stands in for /proc and the scheduler of Linux where there are none, as on macOS; how to install."""

import os
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from e2edist import install_hint
from e2edist.checks import container_images
from e2edist.control import controller_record
from e2edist.process import peak_memory_mib, usable_cores
from e2edist.records import lock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sleeper(tmp_path):
    """A process that has a file open, and the file."""
    path = tmp_path / "open"
    code = f"import sys, time; f = open({str(path)!r}, 'w'); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process, path
        process.kill()


def test_without_proc_a_lock_and_a_controller_are_told_by_the_process_that_holds_them(sleeper, tmp_path):
    process, path = sleeper
    other = tmp_path / "other"
    other.touch()
    for has_open in (lock._has_open, lock._lists_open):
        assert has_open(process.pid, path)
        assert not has_open(process.pid, other)
    assert lock._lives(process.pid)
    born = controller_record._created(process.pid)
    assert born == controller_record._created(process.pid) > 0
    process.kill()
    process.wait()
    assert not lock._lists_open(process.pid, path)
    assert not lock._lives(process.pid)
    assert controller_record._created(process.pid) == 0


def test_all_cores_count_where_the_system_does_not_say_which_are_ours(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5}, raising=False)
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()


def test_memory_is_told_in_mib_whatever_the_system_counts_in(monkeypatch):
    linux = peak_memory_mib()
    assert 10 < linux < 100_000
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory_mib() <= linux // 1000


def test_commands_that_install_are_those_of_a_checkout_or_of_a_package(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert install_hint.pip_install("cpu") == f"pip install -e {quote(f'{ROOT}[cpu]')}"
    monkeypatch.chdir(ROOT)
    assert install_hint.pip_install("cpu", "torch") == "pip install torch -e '.[cpu]'"
    monkeypatch.setattr(install_hint, "__file__", str(tmp_path / "site-packages" / "e2edist" / "x.py"))
    assert install_hint.checkout() is None
    assert install_hint.pip_install("cpu,validate") == "pip install 'e2edist[cpu,validate]'"


def test_making_an_environment_says_once_that_it_takes_a_while(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")  # in place of pip, which would fetch packages
    python.chmod(0o755)
    code, folder = '. "$0"; make_venv "$1" cpu', tmp_path / "venv"
    command = ["bash", "-euc", code, ROOT / "workflows" / "venv.sh", folder]
    first, again = (
        subprocess.run(command, capture_output=True, text=True, check=True).stderr for _ in range(2)
    )
    assert first == f"installing e2edist[cpu] into {folder} (a few minutes)\n"
    assert again == ""


def program(path):
    path.parent.mkdir(parents=True)
    path.symlink_to(sys.executable)
    return path


def test_commands_start_the_python_that_runs_as_a_shell_would_find_it(monkeypatch, tmp_path):
    ours, other = program(tmp_path / "my envs" / "bin" / "python"), program(tmp_path / "sys" / "python")
    monkeypatch.setattr(sys, "executable", str(ours))
    monkeypatch.setenv("PATH", str(ours.parent))
    assert install_hint.verb_command("status", "my out", "--watch") == (
        "python -m e2edist.status 'my out' --watch"
    )
    monkeypatch.setenv("PATH", f"{other.parent}:{ours.parent}")  # an environment that is not active
    monkeypatch.chdir(tmp_path)
    assert install_hint.verb_command("report", "out") == "'my envs/bin/python' -m e2edist.report out"
    monkeypatch.chdir(ours.parent)
    assert install_hint.this_python() == f"'{ours}'"
    assert install_hint.pip_install("cpu").startswith(f"'{ours}' -m pip install -e ")
    monkeypatch.setattr(sys, "executable", str(other.with_name("python3")))
    other.rename(other.with_name("python3"))
    monkeypatch.setenv("PATH", str(other.parent))  # as on Debian, which has no `python`
    assert install_hint.verb_command("report") == "python3 -m e2edist.report"


def test_a_command_that_is_printed_works_as_pasted_where_no_environment_is_active(tmp_path):
    ours = program(tmp_path / ".venv" / "bin" / "python")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    places = os.pathsep.join([str(ROOT), *(place for place in sys.path if place.endswith("-packages"))])
    own = {**os.environ, "PATH": os.defpath, "PYTHONPATH": places}

    def run(command):
        options = {"shell": True, "cwd": tmp_path, "env": own, "capture_output": True, "text": True}
        return subprocess.run(command, check=False, **options)

    said = run(f"{ours} -m e2edist.status --watc").stderr
    assert said.endswith("All options: .venv/bin/python -m e2edist.status --help\n")
    helped = run(said.partition("All options: ")[2])
    assert helped.returncode == 0, helped.stderr
    assert "    .venv/bin/python -m e2edist.status " in helped.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-m", "e2edist.aggregate", "out"), 2),
        (("-m", "e2edist", "--version"), 2),
        (("-c", "import e2edist"), 1),
    ],
)
def test_a_python_without_the_packages_is_told_in_one_line(words, code):
    command = [sys.executable, "-ES", *words]  # -S: without site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert f"the packages that e2edist needs are not installed for {sys.executable} (numpy, " in last
    assert " pip install -e '.[cpu]'" in last
    if code == 2:
        assert done.stderr == f"{last}\n"
        assert last.startswith("e2edist: ")


@pytest.mark.parametrize("sources", [True, False])
def test_versions_that_differ_from_an_image_are_installed_by_their_numbers(monkeypatch, sources):
    monkeypatch.setattr(container_images, "checkout", lambda: Path("/src") if sources else None)
    mine = {
        "python": "3.12.1",
        "e2edist": "0.1.0",
        "dask": "2026.3",
        "distributed": "2026.3",
        "tornado": "6.5",
    }
    theirs = mine | {"python": "3.12.9", "dask": "2026.8", "distributed": "2026.8", "tornado": ""}
    todo = container_images._same_todo(theirs, mine)
    assert "pip install dask==2026.8 distributed==2026.8." in todo
    build = "/src/containers/build" if sources else "containers/build of the sources"
    assert f"Name an image with e2edist 0.1.0 and Python 3.12 ({build} makes one)" in todo
