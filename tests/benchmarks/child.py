"""``python child.py WAY THREADS``: a process that keeps a way ready and runs the tasks on its standard input.

A line of JSON in (a task and ``out``, a file for keys and scores), a line of JSON out: CPU seconds of the
whole process tree, wall seconds, memory.
"""

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import psutil

HERE = ("ours", "limit")


def load(way):
    """Return the module of a way."""
    return importlib.import_module(way if way in HERE else f"peers.{way}")


def tree_cpu():
    """Return user and system seconds of this process and all below it, ended ones too."""
    total = 0.0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def tree_peak():
    """Return the sum of the largest resident sizes of all processes of the tree, in MiB."""
    total, me = 0, psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(OSError, StopIteration, psutil.Error):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            total += int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    return total // 1024


def measured(module, task):
    wall, cpu = time.perf_counter(), tree_cpu()
    found = module.run(task)
    answer = {"cpu": tree_cpu() - cpu, "wall": time.perf_counter() - wall, "peak_mib": tree_peak()}
    keys, scores, *more = found() if callable(found) else found
    for facts in more:
        answer |= facts
    np.savez(task["out"], keys=keys, scores=scores)
    return answer


def main():
    # Libraries print: our answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module = load(sys.argv[1])
    module.start(int(sys.argv[2]))
    print(json.dumps({"ready": sum(psutil.Process().cpu_times()[:4])}), file=answers)
    for line in sys.stdin:
        try:
            answer = measured(module, json.loads(line))
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)
    module.stop()


if __name__ == "__main__":
    main()
