"""The command line that continues a campaign, to be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from e2edist.accounting.usage import read_commands
from e2edist.install_hint import verb_command
from e2edist.redaction import redact_word

#: It would delete what is kept.
_ANEW = "--fresh"
_SUBMIT = ["python", "-m", "e2edist.submit"]
_DETACH = "--detach"


def resume_line(words: Sequence[str]) -> str:
    """Return the line of ``submit`` with `words` that resumes what it began."""
    return verb_command("submit", *(redact_word(word) for word in words if word != _ANEW))


def last_resume_line(folder: Path, *, detached: bool = False) -> str:
    """Return the line that resumes the last run of a campaign as it was started; empty if it is not known.

    Parameters
    ----------
    detached : bool
        Whether that was a controller, whose line is its own.
    """
    commands = read_commands(folder)
    words = shlex.split(commands[-1]) if commands else []
    if words[: len(_SUBMIT)] != _SUBMIT or "--access" in words:  # with addresses that stand nowhere
        return ""
    options = words[len(_SUBMIT) :]
    return resume_line([*options, _DETACH] if detached and _DETACH not in options else options)
