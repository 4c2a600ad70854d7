"""The completion script of a shell, made from the command lines of all verbs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from importlib import import_module
from shlex import quote
from typing import Any

import shtab

from e2edist.config.site import load_site
from e2edist.config.site_files import shipped_sites
from e2edist.config.site_options import ALL_POOLS
from e2edist.config.tagger import packaged
from e2edist.errors import E2EError

from .catalogue import KINDS

#: What stands for a value in help -> what its word may be.
_FILES = {"FILE", "ONNX", "JSON", "URL", "MODEL", "SOURCE"}
_FOLDERS = {"DIR"}
#: Option or word -> what its name is one of.
_NAMES = {
    "--tagger": "taggers",
    "--site": "sites",
    "site": "sites",
    "--pool": "pools",
    "--pools": "pools",
    "name": "all",
}
#: Names that are in files of the user's own are looked up by the shell, so that no Python starts.
_OWN_SITES = """\
_e2edist_own_sites() {
  for file in "${XDG_CONFIG_HOME:-$HOME/.config}"/e2edist/sites/*.toml; do
    [ -e "$file" ] && basename "$file" .toml
  done
}"""


def shell_script(shell: str, verbs: Mapping[str, str]) -> str:
    """Return the script for bash, zsh or fish.

    Parameters
    ----------
    verbs : mapping of str to str
        Verb -> what it does; module ``e2edist.VERB`` has its command line.
    """
    whole = argparse.ArgumentParser(prog="e2edist", description="End-to-end taggers over many ROOT files.")
    under = whole.add_subparsers(parser_class=argparse.ArgumentParser)
    names = _all_names()
    for verb, text in verbs.items():
        own: argparse.ArgumentParser = import_module(f"e2edist.{verb}").parser()
        p = under.add_parser(verb, parents=[own], add_help=False, help=text, description=text)
        for action in p._actions:
            _complete(action, names)
    under.add_parser("help", help="say more of a command").add_argument("verb", choices=list(verbs))
    preamble = "\n".join(_functions(shell, names))
    return shtab.complete(whole, shell, preamble=preamble)


def _all_names() -> dict[str, list[str]]:
    everything = {entry.name for make in KINDS.values() for entry in make()}
    return {
        "taggers": sorted(packaged()),
        "sites": sorted(shipped_sites()),
        "pools": [],  # by site: `_pools_functions`
        "all": sorted(everything),
    }


def _pools(site: str) -> Iterable[str]:
    try:
        return load_site(site).pools
    except E2EError:  # a file of the user's
        return ()


def _complete(action: argparse.Action, names: Mapping[str, list[str]]) -> None:
    """Say what the word of an action may be: a name, a file or a folder."""
    word = action.option_strings[-1] if action.option_strings else action.dest
    found: Any = None
    if word in _NAMES:
        kind = _NAMES[word]
        listed = " ".join(map(quote, names[kind]))
        own = "; _e2edist_own_sites" if kind == "sites" else ""
        fish = f"(printf '%s\\n' {listed}{own}; __fish_complete_path (commandline -ct))"
        fish = "(_e2edist_pools)" if kind == "pools" else fish
        found = {"bash": f"_e2edist_{kind}", "zsh": f"_e2edist_{kind}", "fish": fish}
    elif action.metavar in _FOLDERS:
        found = shtab.DIRECTORY
    elif action.metavar in _FILES:
        found = shtab.FILE
    if found is not None and action.nargs != 0:
        action.complete = found  # type: ignore[attr-defined]


def _functions(shell: str, names: Mapping[str, list[str]]) -> Iterable[str]:
    """Return the shell functions that complete names, or files of the user's."""
    yield _pools_function(shell, names["sites"])
    if shell == "fish":
        yield _OWN_SITES_FISH
        return
    yield _OWN_SITES
    for kind, known in names.items():
        if kind == "pools":
            continue
        listed = " ".join(map(quote, known))
        own = " $(_e2edist_own_sites)" if kind == "sites" else ""
        if shell == "bash":
            files = """[ -z "$1" ] || { compgen -f -X '!*.toml' -- "$1"; compgen -d -- "$1"; }"""
            yield f'_e2edist_{kind}() {{ compgen -W "{listed}{own}" -- "$1"; {files}; }}'
        else:
            yield f"_e2edist_{kind}() {{ compadd -- {listed}{own}; _files }}"


def _pools_function(shell: str, sites: Iterable[str]) -> str:
    """Return the shell function that completes the pools of the site that the line names; else of none."""
    listed = {site: " ".join(map(quote, [*_pools(site), ALL_POOLS])) for site in sites}
    if shell == "fish":
        cases = "\n".join(
            f"            case {site}\n                set found {x}" for site, x in listed.items()
        )
        return _POOLS_FISH.replace("CASES", cases)
    found = {"bash": '"{}"', "zsh": "({})"}[shell]
    cases = "\n".join(f"      {site}) found={found.format(x)} ;;" for site, x in listed.items())
    return {"bash": _POOLS_BASH, "zsh": _POOLS_ZSH}[shell].replace("CASES", cases)


_POOLS_BASH = """\
_e2edist_pools() {
  local word found=
  for word in "${COMP_WORDS[@]}"; do
    case $word in
CASES
    esac
  done
  compgen -W "$found" -- "$1"
}"""
_POOLS_ZSH = """\
_e2edist_pools() {
  local word found=()
  for word in $words; do
    case ${word#--site=} in
CASES
    esac
  done
  compadd -- $found
}"""
_POOLS_FISH = """\
function _e2edist_pools
    set -l found
    for word in (commandline -opc)
        switch (string replace -- --site= "" $word)
CASES
        end
    end
    test -n "$found"; and printf '%s\\n' $found
end"""
_OWN_SITES_FISH = """\
function _e2edist_own_sites
    set -q XDG_CONFIG_HOME; and set -l base $XDG_CONFIG_HOME; or set -l base ~/.config
    for file in $base/e2edist/sites/*.toml
        basename $file .toml
    end
end"""
