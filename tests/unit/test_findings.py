"""How findings of a site's checks look, and what they come to."""

import io

import pytest

from e2edist.checks import Finding
from e2edist.cli.console import make_console
from e2edist.cli.findings import exit_code, print_findings, summary

LONG = Finding("fail", "output", "no " * 30 + "/a/path/" + "x" * 70, "Do " + "this " * 30)


def shown(*findings, terminal=True):
    said = io.StringIO()
    console = make_console(file=said, width=80)
    console._force_terminal = terminal
    console.no_color = True
    levels = print_findings(console, findings)
    return levels, said.getvalue().splitlines()


def test_a_long_finding_is_wrapped_below_itself_and_paths_stay_whole():
    levels, lines = shown(LONG, Finding("ok", "clock", "0.0 s"))
    plain = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in lines]
    assert levels == ["fail", "ok"]
    assert plain[0].startswith("fail output             no no")
    assert plain[2] == " " * 24 + "/a/path/" + "x" * 70
    assert plain[3].startswith("     -> Do this")
    assert plain[4].startswith("        this")
    assert all(len(line) <= 80 for line in plain if "/a/path" not in line)
    assert plain[-2:] == ["", "1 of 2 checks failed"]


def test_for_a_pipe_each_finding_is_one_line():
    _, lines = shown(LONG, terminal=False)
    assert len(lines) == 4
    assert lines[0].endswith("x" * 70)


@pytest.mark.parametrize(
    ("levels", "text", "code"),
    [
        ([], "all 0 checks passed", 0),
        (["ok", "warn", "warn"], "3 checks, none failed, 2 warnings", 1),
        (["ok", "fail", "warn"], "1 of 3 checks failed, 1 warning", 2),
    ],
)
def test_the_sum_says_how_many_failed(levels, text, code):
    assert (summary(levels), exit_code(levels)) == (text, code)
