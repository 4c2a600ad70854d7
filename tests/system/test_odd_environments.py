"""Environments that lack what most have, as a home, a terminal, or room: every verb does its work there."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from lab import can_mount, small_disk
from runs import ROOT, TIMEOUT_S, environment, parts, start, table

VERBS = ("submit", "status", "cancel", "doctor", "aggregate", "report", "validate", "convert", "tune")


def shell(line, cwd, **env):
    """Run a line of shell in which ``$PY`` is this Python; return code, stdout and stderr."""
    env = environment() | {"PY": sys.executable, **{key: str(value) for key, value in env.items()}}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def quiet(text):
    """Whether nothing in `text` is Python's own."""
    return not any(word in text for word in ("Traceback", "Exception ignored", "During handling"))


#: Ways to lose what is printed, and what is said of it at most.
LOST = {
    "closed stdout": ">&-",
    "closed stderr": "2>&-",
    "all closed": "0<&- >&- 2>&-",
    "full stdout": ">/dev/full",
    "full stderr": "2>/dev/full",
    "both full": "&>/dev/full",
}


@pytest.fixture
def done(campaign, tmp_path):
    """A finished campaign of this test's own."""
    shutil.copytree(campaign, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("line", ["status out --json", "aggregate out"])
def test_what_can_not_be_printed_changes_no_exit_code(line, way, done):
    code, out, err = shell(f"$PY -m e2edist.{line} {LOST[way]}", done.parent)
    assert code == 0, err
    assert quiet(out + err)


@pytest.mark.parametrize("line", ["status nothing", "submit --bad"])
@pytest.mark.parametrize("way", ["2>&-", "&>/dev/full", ">&- 2>&-"])
def test_an_error_that_can_not_be_printed_keeps_its_exit_code(line, way, tmp_path):
    code, out, err = shell(f"$PY -m e2edist.{line} {way}", tmp_path)
    assert code == 2
    assert quiet(out + err)


def test_output_that_is_lost_on_a_full_disk_is_told(done):
    code, out, err = shell("$PY -m e2edist.status out --json > /dev/full", done.parent)
    assert (code, out) == (0, "")
    assert err == "e2edist: what is printed can't be written (No space left on device) and is left out\n"


@pytest.mark.parametrize("verb", ["submit --help", "status out --json"])
def test_a_reader_that_leaves_early_is_no_error(verb, done):
    line = f"set -o pipefail; $PY -m e2edist.{verb} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    assert shell(line, done.parent) == (0, "0\n", "")


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"TERM": "dumb", "COLUMNS": "1"},
        {"COLUMNS": "0"},
        {"TERM": "", "COLUMNS": "nonsense", "LINES": "0"},
        {"PYTHONUNBUFFERED": "1"},
    ],
    ids=str,
)
def test_terminals_that_know_little_get_what_they_can_show(env, done):
    folder = done.rename(done.with_name("größe ☢ [red]:boom:"))
    code, out, err = shell(f"$PY -m e2edist.status '{folder.name}'", done.parent, **env)
    assert (code, err) == (0, "")
    assert "6 of 6 ended" in " ".join(out.split())
    assert "[red]:boom:" in out.replace("\n", "")
    code, out, err = shell("$PY -m e2edist.submit --help", done.parent, **env)
    assert (code, err) == (0, "")
    code, out, err = shell("$PY -m e2edist.status größe☢", done.parent, **env)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_files_do_not_take_the_place_of_a_stdout_that_is_closed(events, model, tmp_path):
    """The first file that is opened would be number 1 else, and all that libraries print would go there."""
    arguments = f"--input {events} --model {model} --output out --workers 1 --threads 1"
    code, out, err = shell(f"$PY -m e2edist.submit {arguments} 0<&- >&- 2>&-", tmp_path)
    assert (code, out, err) == (0, "", "")
    assert json.loads((tmp_path / "out" / "progress.json").read_text())["state"] == "done"
    code, out, err = shell("$PY -m e2edist.aggregate out --verify", tmp_path)
    assert (code, err) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["| head -n 1", ">/dev/full 2>/dev/full", "--json | head -n 1", "--json >&-"])
def test_a_campaign_runs_to_its_end_whoever_reads(way, campaign, events, model, tmp_path):
    arguments = f"--input {events} --model {model} --output out --workers 1 --threads 1 --chunk-events 100"
    line = f"$PY -m e2edist.submit {arguments} {way}; exit ${{PIPESTATUS[0]}}"
    code, out, err = shell(line, tmp_path)
    assert code == 0, err
    assert quiet(out + err)
    assert table(tmp_path / "out").equals(table(campaign))


@pytest.mark.slow
def test_a_campaign_outlives_its_terminal(campaign, events, model, tmp_path):
    """In a session of its own, as with setsid: no SIGHUP comes, and all printing is answered by EIO."""
    arguments = ("--input", events, "--model", model, "--output", "out", "--workers", 1, "--threads", 1)
    near, far = os.openpty()
    process = start((*arguments, "--chunk-events", 100), tmp_path, stdin=far, stdout=far, stderr=far)
    os.close(far)
    assert os.read(near, 1)
    os.close(near)
    assert process.wait(TIMEOUT_S) == 0
    assert table(tmp_path / "out").equals(table(campaign))


# ---- no home, no name


needs_setpriv = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to become nobody"
)
#: A user that the system does not know and that may read what root may (this checkout).
NOBODY = (
    "setpriv --reuid=12345 --regid=12345 --clear-groups --inh-caps=+dac_read_search"
    " --ambient-caps=+dac_read_search env -u HOME -u USER -u LOGNAME -u XDG_CACHE_HOME"
)


@pytest.fixture
def nowhere():
    """A folder that everybody may reach and write, and one for temporary files in it."""
    with tempfile.TemporaryDirectory(prefix="e2edist-test-") as name:
        # pytest's own folders are for this user alone
        for path in (Path(name), Path(name) / "tmp"):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        yield Path(name)


LINES = {
    "submit": "--tagger eg --threads 1 --workers 1 --input {events} --output out",
    "status": "out",
    "aggregate": "out --friend",
    "report": "out",
    "cancel": "out",
    "init": "local --yes",
    "doctor": "",
    "validate": "--tagger eg --objects 4",
    "tune": "--tagger eg --budget-s 1 --events 50",
}


@needs_setpriv
@pytest.mark.slow
def test_every_verb_works_without_a_home_and_without_a_name(events, nowhere):
    events = shutil.copytree(events, nowhere / "events")
    events.chmod(0o755)
    for name, arguments in LINES.items():
        line = f"{NOBODY} $PY -m e2edist.{name} {arguments.format(events=events)}"
        code, out, err = shell(line, nowhere, TMPDIR=nowhere / "tmp")
        assert code in ((0, 1) if name == "doctor" else (0,)), (name, out, err)
        assert quiet(out + err), (name, err)
    assert not (nowhere / "~").exists()  # what libraries make of a home that they can't find
    assert parts(nowhere / "out")
    again = shell(f"{NOBODY} $PY -m e2edist.submit {LINES['submit'].format(events=events)}", nowhere)
    assert again[0] == 0
    private = nowhere / "tmp" / "e2edist-12345"
    assert private.stat().st_mode & 0o777 == 0o700


@needs_setpriv
def test_a_folder_of_somebody_else_is_not_taken_for_a_private_one(nowhere):
    squatted = nowhere / "tmp" / "e2edist-12345"
    squatted.mkdir(mode=0o777)
    code = "from e2edist.process import prepare_process, private_folder as p; prepare_process(); print(p())"
    line = f'{NOBODY} $PY -c "{code}"'
    assert shell(line, nowhere, TMPDIR=nowhere / "tmp") == (0, "None\n", "")
    squatted.rmdir()
    squatted.symlink_to(nowhere)
    assert shell(line, nowhere, TMPDIR=nowhere / "tmp") == (0, "None\n", "")


# ---- caches


def compiled(cwd, **env):
    """Run a kernel in a new process; return where its code is kept."""
    code = (
        "from e2edist.imaging._numba import kernel\n"
        "import kernels\n"
        "assert kernels.twice(21) == 42\n"
        "print(getattr(kernels.twice, '_cache').cache_path)"
    )
    (cwd / "run.py").write_text(code, encoding="utf-8")
    text = "from e2edist.imaging._numba import kernel\n@kernel\ndef twice(x):\n    return 2 * x\n"
    (cwd / "kernels.py").write_text(text, encoding="utf-8")
    code, out, err = shell("$PY run.py", cwd, **env)
    assert (code, err) == (0, ""), err
    return Path(out.strip())


def test_code_in_a_cache_that_nobody_can_read_is_compiled_anew(tmp_path):
    folder = compiled(tmp_path)
    assert list(folder.glob("kernels.twice-*.nbi"))
    for path in folder.glob("kernels.twice-*"):
        path.write_bytes(b"")
    compiled(tmp_path)
    for path in folder.glob("kernels.twice-*.nbi"):
        path.unlink()
        path.mkdir()
    compiled(tmp_path)


def test_a_cache_on_a_full_disk_is_done_without(tmp_path):
    """A disk on which files can be made and not be filled, as a quota of 0 blocks does."""
    fault = tmp_path / "site"
    fault.mkdir()
    (fault / "sitecustomize.py").write_text(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n",
        encoding="utf-8",
    )
    path = os.pathsep.join(map(str, (fault, ROOT)))
    folder = compiled(tmp_path, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE=1)
    assert list(folder.glob("kernels.twice-*.nbc")) == []


# ---- disks that fill up, turn read-only, or know no fsync


@pytest.fixture
def ext4(tmp_path):
    """A small ext4 disk, which can turn read-only while files on it are open; its image lies beside it."""
    folder, image = tmp_path / "disk", tmp_path / "image"
    folder.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 64 * 2**20)
    mounted = subprocess.run(["mkfs.ext4", "-q", image], check=False).returncode == 0
    mounted = mounted and remount(folder, "-o", "loop,errors=remount-ro", image)
    if not mounted:
        pytest.skip("no loop devices")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def remount(folder, *words):
    return subprocess.run(["mount", *words, folder], check=False, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(
    not can_mount() or not shutil.which("mkfs.ext4"), reason="needs to be root to mount a disk"
)


@pytest.mark.slow
@needs_mount
def test_a_disk_that_turns_read_only_stops_a_campaign_with_one_sentence(campaign, events, model, ext4):
    out = ext4 / "out"
    line = f"$PY -m e2edist.submit --input {events} --model {model} --output {out} --workers 1 --threads 1"
    line += " --chunk-events 100"
    turn = (
        f"until [ $(ls {out}/predictions | wc -l) -ge 2 ]; do sleep 0.02; done; mount -o remount,abort {ext4}"
    )
    code, said, err = shell(f"({turn}) 2>/dev/null & {line}", ext4.parent)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith(f"e2edist: {out}/")
    assert "can't be written (Read-only file system)" in err
    assert quiet(said)
    kept = [path.name for path in parts(out)]
    assert kept
    code, said, err = shell("$PY -m e2edist.aggregate disk/out --verify", ext4.parent)
    assert (code, err.count("\n")) == (1, 1)
    code, said, err = shell(line, ext4.parent)
    assert (code, err.count("\n")) == (2, 1)
    subprocess.run(["umount", ext4], check=True)
    subprocess.run(["e2fsck", "-fy", ext4.parent / "image"], check=False, capture_output=True)
    assert remount(ext4, "-o", "loop", ext4.parent / "image")
    code, said, err = shell(line, ext4.parent)
    assert (code, err) == (0, "")
    assert set(kept) <= {path.name for path in parts(out)}
    assert table(out).equals(table(campaign))


@pytest.mark.slow
@needs_mount
@pytest.mark.parametrize("size", ["8k", "60k"])
def test_a_disk_that_fills_up_is_named_once_and_status_tells_of_it(size, campaign, events, model, tmp_path):
    line = f"$PY -m e2edist.submit --input {events} --model {model} --output disk/out --workers 1 --threads 1"
    line += " --chunk-events 100"
    with small_disk(tmp_path / "disk", size):
        code, said, err = shell(line, tmp_path)
        assert (code, err.count("\n")) == (2, 1), err
        assert "can't be written (No space left on device)" in err
        assert quiet(said)
        code, said, err = shell("$PY -m e2edist.status disk/out", tmp_path)
        assert (code, err) in ((1, ""), (2, ""))
        if parts(tmp_path / "disk" / "out"):
            assert "No space left on device" in " ".join(said.split())
        assert remount(tmp_path / "disk", "-o", "remount,size=100m")
        code, said, err = shell(line, tmp_path)
        assert (code, err) == (0, "")
        assert table(tmp_path / "disk" / "out").equals(table(campaign))


_FSYNC = """
import errno, os
_fsync = os.fsync
def fsync(handle):
    raise OSError(errno.{code}, os.strerror(errno.{code}))
os.fsync = fsync
"""


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "wanted"), [("EINVAL", 0), ("EIO", 2)])
def test_fsync_may_be_missing_and_must_not_fail(answer, wanted, events, model, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_FSYNC.format(code=answer), encoding="utf-8")
    path = os.pathsep.join(map(str, (tmp_path / "site", ROOT)))
    line = f"$PY -m e2edist.submit --input {events} --model {model} --output out --workers 1 --threads 1"
    code, _, err = shell(line, tmp_path, PYTHONPATH=path)
    assert (code, err.count("\n")) == (wanted, int(wanted > 0)), err
    assert wanted == 0 or "Input/output error" in err


# ---- hosts


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs to be root to leave namespaces"
)
HOSTS = {
    "no loopback": ("unshare -n", 2, "the loopback of this host, 127.0.0.1, does not answer"),
    "no proc": ("unshare -m sh -c 'mount -t tmpfs none /proc; exec \"$@\"' --", 2, "Dask needs /proc"),
    "few files": ("bash -c 'ulimit -n 20; exec \"$@\"' --", 2, "need 42 open files, 20 are allowed"),
    "few files unless asked for more": ("bash -c 'ulimit -Sn 20; exec \"$@\"' --", 0, ""),
    "long name": (f"unshare -u sh -c 'hostname {'a' * 64}; exec \"$@\"' --", 0, ""),
    "an unknown name": ("unshare -u sh -c 'hostname x.invalid; exec \"$@\"' --", 0, ""),
    "no variables": ("env -i", 0, ""),
    "no assertions": ("env PYTHONOPTIMIZE=2 PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1", 0, ""),
    "warnings are errors": ("env PYTHONWARNINGS=error", 0, ""),
    "odd folders": ("env HOME=/dev/null XDG_CACHE_HOME=/proc TMPDIR=/none NUMBA_CACHE_DIR=/proc/x", 0, ""),
    "no rights for new files": ("bash -c 'umask 0777; exec \"$@\"' --", 0, ""),
}


@needs_namespaces
@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
def test_odd_hosts_work_or_say_what_they_lack(host, events, model, tmp_path):
    before, wanted, text = HOSTS[host]
    arguments = f"--input {events} --model {model} --output out --workers 1 --threads 1"
    code, said, err = shell(f"{before} $PY -m e2edist.submit {arguments}", tmp_path)
    ours = [line for line in err.splitlines() if line.startswith("e2edist: ")]
    assert (code, len(ours)) == (wanted, int(wanted > 0)), err
    assert text in err
    assert quiet(said + err)
    assert bool(parts(tmp_path / "out")) == (wanted == 0)


def test_a_folder_that_is_gone_is_told(tmp_path):
    (tmp_path / "x").mkdir()
    code, out, err = shell("cd x; rmdir ../x; env -u PYTHONPATH $PY -m e2edist.status out", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("e2edist: the current folder: can't be used (No such file or directory)")
