"""Command lines of all verbs: help, version, mistyped words, how much is printed."""

import logging
import re
import shlex
import subprocess
import sys
from importlib import import_module

import pytest

from e2edist import __version__
from e2edist.__main__ import VERBS, main
from e2edist.cli.arguments import make_parser
from e2edist.cli.console import print_error, print_result, run_verb
from e2edist.errors import ConfigError


def parser(verb):
    return import_module(f"e2edist.{verb}").parser()


@pytest.fixture(params=VERBS)
def verb(request):
    return request.param


def test_every_verb_says_its_version(verb, capsys):
    for flag in ("--version", "-V"):
        with pytest.raises(SystemExit) as end:
            import_module(f"e2edist.{verb}").main([flag])
        assert (end.value.code, capsys.readouterr().out) == (0, f"e2edist {__version__}\n")


def test_help_fits_eighty_columns_and_its_examples_can_be_parsed(verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = parser(verb).format_help()
    assert max(map(len, text.splitlines())) <= 80
    assert "None" not in text
    examples = re.findall(rf"^    python -m e2edist\.{verb} ?(.*)$", text, re.MULTILINE)
    assert examples
    for line in examples:
        parser(verb).parse_args(shlex.split(line))


def test_help_of_a_verb_is_the_same_by_all_ways(monkeypatch, capsys):
    said = []
    for words in (["help", "tune"], ["tune", "--help"], ["tune", "-h"]):
        monkeypatch.setattr(sys, "argv", ["e2edist", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        said.append(capsys.readouterr().out)
    assert said[0].startswith("usage: python -m e2edist.tune [OPTION ...]\n")
    assert said[1:] == said[:1] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("submit --taggr eg", "--taggr eg: submit has no such option. Did you mean --tagger? All options: "),
        ("submit --taggr=eg", "--taggr=eg: submit has no such option. Did you mean --tagger? "),
        ("convert --taggr eg", "--taggr eg: convert has no such option. Did you mean --tagger? "),
        ("submit --zzz", "--zzz: submit has no such option. All options: python -m e2edist.submit --help"),
        ("status", "DIR: is missing, and there is no campaign.toml here. Name the output folder."),
        ("cancel", "DIR: is missing, and there is no campaign.toml here."),
        ("aggregate", "DIR: is missing, and there is no campaign.toml here."),
        ("report", "DIR: is missing, and there is no campaign.toml here."),
        ("convert", "the following arguments are required: "),
        ("submit --threads few", "--threads: invalid int value: 'few'. "),
        ("submit x.root", "x.root: is not understood by submit. "),
        ("submti --tagger eg", "there is no verb 'submti'. Did you mean 'submit'? "),
        ("help submti", "there is no verb 'submti'. Did you mean 'submit'? "),
    ],
)
def test_a_mistyped_word_is_answered_in_one_line(words, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["e2edist", *words.split()])
    assert main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"e2edist: {message}")
    assert said.err.count("\n") == 1


def test_a_wrong_choice_is_answered_with_the_nearest():
    p = make_parser("show", "", "")
    p.add_argument("what", choices=["taggers", "sites"])
    with pytest.raises(ConfigError, match="Did you mean taggers"):
        p.parse_args(["tagers"])


def test_words_of_values_are_no_options():
    args = make_parser("submit", "", "")
    args.add_argument("--notify")
    assert args.parse_args(["--notify=--mail me"]).notify == "--mail me"
    assert args.parse_args(["--notify", "--mail me"]).notify == "--mail me"


def _say(args, console):
    console.print("a table")
    logging.getLogger("e2edist.some.module").info("chunk of root://us:SECRETword@h/x.root")
    print_result(console, "the result")
    return 0


@pytest.mark.parametrize(
    ("flags", "shown"),
    [([], ["a table", "the result"]), (["-q"], ["the result"]), (["-v"], ["a table", "chunk", "the result"])],
)
def test_quiet_leaves_the_result_and_verbose_adds_log_lines(flags, shown, capsys):
    assert run_verb(make_parser("some", "", ""), _say, flags) == 0
    said = capsys.readouterr().out
    assert [line for line in ("a table", "chunk", "the result") if line in said] == shown
    assert "SECRET" not in said
    assert logging.getLogger("e2edist").handlers == []


@pytest.mark.parametrize(
    ("environment", "start"),
    [
        ({"FORCE_COLOR": "1", "TERM": "xterm"}, "\x1b[1;31me2edist:\x1b[0m "),
        ({"FORCE_COLOR": "1", "TERM": "xterm", "NO_COLOR": "1"}, "\x1b[1me2edist:\x1b[0m "),
        ({}, "e2edist: "),
    ],
)
def test_errors_are_red_on_a_terminal_only(environment, start, monkeypatch, capsys):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert print_error(ConfigError("here", "it is wrong")) == 2
    assert capsys.readouterr().err == f"{start}here: it is wrong\n"


def test_help_and_version_import_nothing_heavy():
    code = "import sys; from e2edist.cli.submit_options import parser; parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"rich", "numpy", "dask", "pydantic"}.isdisjoint(loaded.split())
