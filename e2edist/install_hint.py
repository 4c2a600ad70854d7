"""The command that installs an extra of this package where it runs: as a package, or from a checkout."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

#: What a checkout has beside the package, and an installed package has not.
_CHECKOUT = ("pyproject.toml", "site-configs")


def checkout() -> Path | None:
    """Return the checkout that this code is run from; None where it was installed from a wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if all((root / name).exists() for name in _CHECKOUT) else None


def pip_install(extras: str, *others: str) -> str:
    """Return the command that installs this package with `extras`, and `others` besides.

    A checkout is named by its path, since nobody knows where the command will be given, or as the present
    folder where it is that.
    """
    root = checkout()
    if root is None:
        return " ".join(["pip install", *others, quote(f"e2edist[{extras}]")])
    place = "." if root == Path.cwd() else root
    return " ".join(["pip install", *others, "-e", quote(f"{place}[{extras}]")])
