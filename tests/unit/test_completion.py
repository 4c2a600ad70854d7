"""The completion script, in a real bash."""

import os
import re
import shutil
import subprocess

import pytest

from e2edist.__main__ import VERBS
from e2edist.completion import SHELLS, main

TRY = """
source $SCRIPT
words() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  $(complete -p e2edist | sed 's/.*-F \\([^ ]*\\).*/\\1/') e2edist "${COMP_WORDS[COMP_CWORD]}"
  echo "${COMPREPLY[@]}"
}
"""


@pytest.fixture
def script(tmp_path, capsys):
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    assert main(["bash"]) == 0
    path = tmp_path / "e2edist.bash"
    path.write_text(capsys.readouterr().out)
    return path


def test_bash_completes_commands_options_names_and_files(script, tmp_path):
    own = tmp_path / "e2edist" / "sites"
    own.mkdir(parents=True)
    (own / "mine.toml").write_text("")
    (tmp_path / "my_tagger.toml").write_text("")
    (tmp_path / "results").mkdir()
    lines = {
        "e2edist ''": list(VERBS),
        "e2edist su": ["submit"],
        "e2edist submit --dry": ["--dry-run"],
        "e2edist submit --tagger ''": ["eg", "qg", "tau", "top"],
        "e2edist submit --tagger my": ["my_tagger.toml"],
        "e2edist submit --site per": ["perlmutter"],
        "e2edist submit --site mi": ["mine"],
        "e2edist submit --site perlmutter --pools gpu_s": ["gpu_shared"],
        "e2edist submit --site = perlmutter --pools gpu_s": ["gpu_shared"],  # as bash splits --site=
        "e2edist init lxplus --pools ''": ["cpu", "gpu", "all"],
        "e2edist status res": ["results"],
        "e2edist show EB": ["EB_energy", "EB_time"],
        "e2edist list s": ["sites", "seeds"],
        "e2edist completion b": ["bash"],
        "e2edist help agg": ["aggregate"],
    }
    text = TRY + "".join(f"words {line}\n" for line in lines)
    # Pools of other sites are offered nowhere, nor any where the line names no site.
    text += "words e2edist submit --site lxplus --pools ''\nwords e2edist submit --pools ''\n"
    environment = os.environ | {"SCRIPT": str(script), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "--norc"],
        input=text,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    *found, lxplus, none = done.stdout.splitlines()
    assert (lxplus, none) == ("cpu gpu all", "")
    answers = dict(zip(lines, found, strict=True))
    for line, words in lines.items():
        found = answers[line].split()
        assert set(words) <= set(found), (line, found)
        if len(line.split()[-1]) > 2:  # a word has begun
            assert found == words, line


def test_an_interactive_bash_completes(script, terminal):
    bash = terminal(["bash", "--norc", "--noprofile", "-i"], 80, {"PS1": "$ ", "TERM": "xterm"})
    bash.read(lambda text: "$" in text)
    bash.write(f"source {script}; clear\r")
    bash.read(lambda text: text == "$")
    bash.write("e2edist submit --dry-r\t--tagger q\t")
    bash.read(lambda text: "e2edist submit --dry-run --tagger qg" in text)


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_the_same(tmp_path, capsys):
    assert main(["fish"]) == 0
    (tmp_path / "e2edist.fish").write_text(capsys.readouterr().out)
    lines = {
        "e2edist su": "submit",
        "e2edist submit --dry": "--dry-run",
        "e2edist submit --site per": "perlmutter",
        "e2edist submit --site lxplus --pools ": "cpu gpu all",
        "e2edist submit --pools g": "",
        "e2edist show EB_": "EB_energy EB_time",
        "e2edist help agg": "aggregate",
    }
    tries = "".join(f"complete -C '{line}' | cut -f1 | tr '\\n' ' '; echo\n" for line in lines)
    text = f"source e2edist.fish\n{tries}"
    done = subprocess.run(["fish"], input=text, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.strip() for line in done.stdout.splitlines()] == list(lines.values())


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_an_interactive_zsh_completes(tmp_path, capsys, terminal):
    assert main(["zsh"]) == 0
    (tmp_path / "_e2edist").write_text(capsys.readouterr().out)
    zsh = terminal(["zsh", "-f", "-i"], 80, {"PS1": "$ "})
    zsh.read(lambda text: "$" in text)
    zsh.write(f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump; clear\r")
    zsh.read(lambda text: text == "$")
    for typed, there in (
        ("e2edist subm\t", "submit"),
        ("--dry-r\t", "--dry-run"),
        ("--site perl\t", "perlmutter"),
        ("--pools gpu_s\t", "gpu_shared"),
    ):
        zsh.write(typed)
        zsh.read(lambda text, there=there: there in text)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_with_the_same_words(shell, capsys):
    assert set(SHELLS) == {"bash", "zsh", "fish"}
    assert main([shell]) == 0
    text = capsys.readouterr().out
    for word in (*VERBS, "perlmutter", "eg qg tau top", "e2edist/sites/"):
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)
    assert not re.search(r"Traceback|None", text)
