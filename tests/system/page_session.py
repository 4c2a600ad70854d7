"""Pages of the documentation as people follow them: their commands run in order, in one shell.

A block that begins with ```bash runs. What needs the site itself (its registry, a grid proxy, a tunnel from
your laptop) stands in a block ```shell, which looks the same and is not run.
"""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from runs import ROOT

_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What differs from run to run or from machine to machine -> what stands in its place; in this order.
_VARIES = [
    (r"[─━═]{2,}", ""),
    (r"[ \t]+", " "),
    (r"^ ?[┌┏┡├└┗─━┬┳╇┼┴┻┐┓┩┤┘┛ ]*\n", ""),
    (r" $", ""),
    (r"^\d+/\d+ chunks\b.*\n", ""),  # how often it is printed depends on the time
    (rf"\b{re.escape(platform.node())}\b", "HOST"),
    (r"\b[0-9a-f]{12,64}\b", "HASH"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?", "WHEN"),
    (r"^\d+:\d\d:\d\d .*\n", ""),  # of status --watch, as often as something changed
    (r"\b\d+:\d\d:\d\d\b", "H:MM:SS"),
    (r"^(\w+) [\d.e-]+ \d+/\d+/\d+/\d+ .*$", r"\1 HOURS, SHARES, CHARGE"),
    (r"\b\d+\.\d+\.\d+\.\d+\b", "ADDRESS"),
    (r"(ADDRESS|localhost):\d{4,5}\b", r"\1:PORT"),
    (r"\b(python|e2edist|version) \d+\.[\d.]*\d\w*", r"\1 VERSION"),
    (r"\bport \d{4,5} of loopback is .*", "port PORT of loopback is free or taken"),
    (r"\bpid \d+\b", "pid N"),
    (r"\b[Jj]ob \d+(\.\d+)?\b", "job N"),
    (r"\b(cpu|gpu)\d+\b", r"\1N"),
    (r"\((AMD|Intel|ARM)[^)]*\)", "(CPU)"),
    (r"\b[\d.,]+( |-)(s|ms|min|h|MiB|GiB|kB|MB|events/s|ms/event|per second)\b", r"N\1\2"),
    (r"\b[\d.,]+/s\b", "N/s"),
]
#: Findings of doctor, which are this host's.
_FINDINGS = re.compile(r"(^(ok|warn|fail) .*\n( -> .*\n)?)+^(all )?\d+ (of \d+ )?checks .*\n", re.MULTILINE)
#: A row of a table of times: a name, and numbers of which some have a point.
_TIMES = re.compile(r"^[\w ]+?( [\d.,]+)+$")

#: Heading of docs/troubleshooting.md -> the sentence or lines below it.
SENTENCES = dict(
    re.findall(
        r"^### (.+)\n\n```text\n(.+(?:\n.+)*?)\n```$",
        (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


def says(title, text):
    """Return whether a line of a text begins with the sentence of a heading; … stands for anything."""
    words = (r"\s+".join(map(re.escape, part.split())) for part in SENTENCES[title].split("…"))
    return re.search("(?m)^" + r"\s*.*?\s*".join(words), text) is not None


def commands(page):
    """Return the commands of a page's blocks that run, each a whole command of one or more lines."""
    found = []
    for block in _BLOCK.findall(Path(page).read_text(encoding="utf-8")):
        lines = []
        for line in block.splitlines():
            lines.append(line)
            text = "\n".join(lines)
            if text.strip() and _is_whole(text):
                found.append(text)
                lines = []
        assert not lines, f"{page}: a command has no end:\n{text}"
    return found


def _is_whole(text):
    """Return whether a shell sees the end of a command; a here-document without its end is a warning."""
    if text.endswith("\\"):
        return False
    said = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return said.returncode == 0 and not said.stderr


def transcript(page, cwd, environment, timeout=280):
    """Run the commands of a page, and return what a terminal would show: commands, answers, exit codes."""
    script = []
    for command in commands(page):
        shown = "\n> ".join(command.splitlines())
        script += [f"cat <<'SHOWN-HERE'\n$ {shown}\nSHOWN-HERE", command]
        script += ['code=$?; [ $code = 0 ] || echo "[exit code $code]"; (exit $code)']
    # On two cores everywhere: the sizes of chunks depend on how many there are.
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    done = subprocess.run(
        [shutil.which("taskset"), "-c", cores, shutil.which("bash"), "-c", "\n".join(script)],
        cwd=cwd,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.stdout


def normalised(text, places, *, findings=True):
    """Return a transcript without what differs from run to run.

    Parameters
    ----------
    places : dict of str to str
        Path -> what stands in its place; the longer ones first.
    findings : bool
        Whether those of doctor stay: they are the cluster's, and of other pages this host's.
    """
    for path, name in places.items():
        text = text.replace(path, name)
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    text = text if findings else _FINDINGS.sub("(what doctor finds)\n", text)
    lines = (re.sub(r"\d+\.\d+", "N", line) if _TIMES.match(line) else line for line in text.splitlines())
    return "\n".join(lines) + "\n"
