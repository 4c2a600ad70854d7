"""Errors as a notebook should show them: one line, in the words of Python, without libraries' tracebacks."""

from __future__ import annotations

import re
from contextlib import ContextDecorator
from types import TracebackType
from typing import Self

from e2edist.errors import E2EError, ProgrammingError

#: Options of the command line -> keywords that are called otherwise.
_KEYWORDS = {
    "input": "the inputs",
    "set": "settings",
    "resume": 'mode="resume"',
    "fresh": 'mode="fresh"',
    "accept-failed-validation": "accept_failed_validation=True",
}
#: Words of the command line -> those of Python.
_WORDS = {
    "command line": "the call",
    "The same command": "The same call",
    "the same command": "the same call",
}
_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")


class python_errors(ContextDecorator):  # noqa: N801 - used as a function is
    """Raise errors that a person can mend without their causes and traceback, and with keywords.

    Bugs keep both.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, E2EError) or isinstance(error, ProgrammingError):
            return
        for name in ("where", "what", "todo"):
            text = getattr(error, name)
            for word, ours in _WORDS.items():
                text = text.replace(word, ours)
            setattr(error, name, _OPTION.sub(_keyword, text))
        error.args = (error.where, error.what, error.todo)
        raise error.with_traceback(None) from None


def _keyword(option: re.Match[str]) -> str:
    return _KEYWORDS.get(option[1], option[1].replace("-", "_"))
