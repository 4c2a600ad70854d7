"""Commands that messages name, as they can be pasted: to run this package, and to install an extra of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from shlex import quote
from shutil import which

#: What a checkout has beside the package, and an installed package has not.
_CHECKOUT = ("pyproject.toml", "site-configs")


def checkout() -> Path | None:
    """Return the checkout that this code is run from; None where it was installed from a wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if all((root / name).exists() for name in _CHECKOUT) else None


def this_python() -> str:
    """Return the word that a shell here starts this Python by.

    It is ``python`` or ``python3`` where that is this one, as in an active environment; else its path, from
    the current folder if it is below that, as ``.venv/bin/python``.
    """
    ours = Path(sys.executable or "python")
    for name in ("python", "python3"):
        found = which(name)
        if found and _same(Path(found), ours):
            return name
    return _from_here(ours)


def _from_here(program: Path) -> str:
    """Return a program as a word of a shell in the current folder."""
    with suppress(OSError):  # the current folder may be gone
        here = Path.cwd()
        if program.is_relative_to(here) and program.parent != here:
            program = program.relative_to(here)
    return quote(str(program))


def _same(one: Path, other: Path) -> bool:
    """Return whether two programs are one; those of an environment and of the system are not."""
    return one.parent.resolve() == other.parent.resolve() and one.resolve() == other.resolve()


def verb_command(verb: str, *words: str) -> str:
    """Return the command that runs a verb, with `words` as its arguments."""
    return " ".join([f"{this_python()} -m e2edist.{verb}", *map(quote, words)])


def pip_install(extras: str, *others: str) -> str:
    """Return the command that installs this package with `extras`, and `others` besides.

    A checkout is named by its path, since nobody knows where the command will be given, or as the present
    folder where it is that.
    """
    root, python = checkout(), this_python()
    pip = "pip install" if python == "python" else f"{python} -m pip install"
    if root is None:
        return " ".join([pip, *others, quote(f"e2edist[{extras}]")])
    place = "." if root == Path.cwd() else root
    return " ".join([pip, *others, "-e", quote(f"{place}[{extras}]")])


def missing_packages(names: Iterable[str]) -> str:
    """Return what to say to somebody whose Python lacks the packages `names` that this one always needs."""
    what = f"the packages that e2edist needs are not installed for {sys.executable} ({', '.join(names)})"
    root = checkout()
    ready = root / ".venv" / "bin" / "python" if root else None
    use = f"Use {_from_here(ready)}, or run" if ready and ready.exists() else "Run"
    return f"{what}. {use} {pip_install('cpu')}"
