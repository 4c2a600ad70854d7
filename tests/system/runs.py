"""Real runs of ``python -m e2edist.submit``, and what they leave on disk."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
#: Generous: a run takes some seconds, on a busy machine a few times that.
TIMEOUT_S = 120
COMMAND = (sys.executable, "-m", "e2edist.submit")
#: What makes a row unique.
KEY = ("uuid", "entry", "kind", "object")


def environment():
    """Return ours, with this checkout first on the path of the new process and of its workers."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def start(arguments, cwd, **options):
    """Start a run in a process group of its own, so that it can be stopped as a whole."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=cwd, env=environment(), start_new_session=True, **options
    )


def run(arguments, cwd):
    """Run to the end and return code, stdout and stderr as text."""
    process = start(arguments, cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"no end after {TIMEOUT_S} s:\n{out}\n{err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def parts(folder):
    return sorted((Path(folder) / "predictions").glob("*.parquet"))


def drafts(folder):
    return [path for path in Path(folder).rglob("*") if ".draft" in path.name]


def table(folder, key=KEY):
    """Return all rows of a campaign, sorted, without dictionaries."""
    tables = [plain(pq.read_table(path)) for path in parts(folder)]
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in key])


def plain(rows):
    """Return rows without dictionaries."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(i, field.name, pc.cast(rows[field.name], pa.string()))
    return rows


def receipts(folder):
    """Return the receipts in the footers of the parts."""
    return [json.loads(pq.read_metadata(path).metadata[b"e2edist"]) for path in parts(folder)]


def plan(folder):
    return json.loads((Path(folder) / "plan.json").read_text(encoding="utf-8"))


def snapshot(folder):
    """Return path -> content of every file below `folder`, None for folders; without a run's own lock."""
    found = [path for path in sorted(Path(folder).rglob("*")) if path.name != ".lock"]
    return {path: path.read_bytes() if path.is_file() else None for path in found}


def verb(name, *arguments, cwd, env=None, timeout=TIMEOUT_S):
    """Run another verb to its end."""
    command = [sys.executable, "-m", f"e2edist.{name}", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def status(cwd, env=None):
    said = verb("status", "out", "--json", cwd=cwd, env=env)
    assert said.stderr == ""
    return json.loads(said.stdout)


def record(cwd):
    return json.loads((cwd / "out" / "controller.json").read_text(encoding="utf-8"))


#: A process of its own: after refused clients the next one's loop sometimes does not start within ten seconds
#: (LoopRunner of distributed 2026.8), probably as collecting them on the new thread wants a held lock.
_KNOCK = """
import sys, warnings
from distributed import Client
from distributed.security import Security
warnings.simplefilter("ignore")
address, certificate = sys.argv[1:]
security = Security.temporary() if certificate == "another" else None
try:
    Client(address, security=security, timeout=5, set_as_default=False)
except (OSError, TypeError):
    print("refused", flush=True)
else:
    print("let in", flush=True)
"""


def knock(address, certificate="no"):
    """Return what a stranger (with no or with another certificate) meets at a scheduler: refused, let in."""
    line = [sys.executable, "-c", _KNOCK, address, certificate]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
