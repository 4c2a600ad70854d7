"""Python environments for what the tests' own must not have: torch, tensorflow, onnxruntime-gpu, ROOT.

``python tests/environments.py torch gpuwheel`` makes them, once a machine, from PyPI. Each sees the
packages of the tests' own environment behind its own; those of other versions of Python (``python3.12``) have
all that e2edist needs instead. ``python tests/environments.py pythons`` prints which of them can be made.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

import pytest

#: Variable that names the folder of the environments, else one below the temporary folder.
FOLDER = "E2EDIST_ENVIRONMENTS"
OWN = sysconfig.get_path("purelib")
PACKAGES = {
    "torch": ("torch==2.13.0",),
    "tensorflow": ("tensorflow==2.21.0", "tf2onnx==1.17.0"),
    # Without its dependencies, which the tests' own environment has.
    "gpuwheel": ("--no-deps", "onnxruntime-gpu==1.31.1"),
    # ROOT 6.40 as a wheel, an alpha, for what no other reader can tell: whether ROOT itself takes our files.
    "root": ("root==0.1a12",),
}
#: The versions of Python that pyproject.toml names.
PYTHONS = ("python3.11", "python3.12", "python3.13")
_PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
_TOOLS = ("pytest", "pytest-timeout", "hypothesis", "pyte")
PACKAGES |= dict.fromkeys(
    PYTHONS,
    (
        "--only-binary=:all:",
        *_PROJECT["dependencies"],
        *_PROJECT["optional-dependencies"]["cpu"],
        *(line for line in _PROJECT["optional-dependencies"]["test"] if line.split(">")[0] in _TOOLS),
    ),
)


def interpreter(name):
    """Return the Python that an environment is made with; None: this machine has none of that version."""
    if name not in PYTHONS:
        return sys.executable
    found = shutil.which(name)
    probe = [found, "-c", "import ensurepip, venv"]  # what pyenv puts on the PATH may be of no version
    if found and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    built = sorted(root.glob(f"versions/{name.removeprefix('python')}.*/bin/python3"))
    return str(built[-1]) if built else None


def pythons():
    """Return the versions of Python that are here, without the tests' own."""
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [name for name in PYTHONS if name != own and interpreter(name)]


def _folder(name):
    base = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / f"e2edist-environments-{os.getuid()}")
    key = hashlib.sha256(repr((PACKAGES[name], sys.version, interpreter(name))).encode()).hexdigest()[:12]
    return base / f"{name}-{key}"


def make(name):
    """Make an environment, unless it is there, and return its Python."""
    folder = _folder(name)
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([interpreter(name), "-m", "venv", folder], check=True)
            install = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES[name])
            subprocess.run(install, check=True, timeout=1200)
            ready.touch()
        if name in PYTHONS:
            return str(python)
        # Joined after installing, so that pip leaves the other environment alone.
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "tests.pth").write_text(f"import site; site.addsitedir({OWN!r})\n")
    return str(python)


def python_with(name):
    """Return the Python of an environment: made where E2EDIST_REQUIRE names it, taken where it is there."""
    if interpreter(name) is None:
        pytest.skip(f"there is no {name} on this machine")
    if name in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        return make(name)
    if not (_folder(name) / "ready").exists():
        pytest.skip(f"python tests/environments.py {name}, or E2EDIST_REQUIRE={name}, makes its environment")
    return make(name)


if __name__ == "__main__":
    if sys.argv[1:] == ["pythons"]:
        print(*pythons())
        sys.exit()
    for wanted in sys.argv[1:]:
        print(wanted, make(wanted))
