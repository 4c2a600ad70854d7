"""Drivers that start in a moment: forked from this process, which has imported all that submit needs.

Reads lines of JSON: {"argv", "cwd", "said", "clean"} forks a submit and answers its pid; {"wait": pid}
waits for it and answers its exit code. Workers come from one fork server that all drivers share; how
drivers and workers talk, die and notice each other's death is Dask's as ever.
"""

import json
import os
import sys
import traceback
from multiprocessing import forkserver

import distributed.utils
import faults_warm  # noqa: F401

from e2edist import submit
from e2edist.cli.signals import run_process


def _child(job):
    """Become the driver; never return."""
    code = 70
    try:
        os.setsid()
        os.chdir(job["cwd"])
        said = os.open(job["said"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        # It is our parent's child, so we can't ask the kernel whether it lives.
        forkserver._forkserver.ensure_running = lambda: None
        run_process(lambda: submit.main(job["argv"]))
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # before there was anybody to answer it
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main():
    distributed.utils.get_mp_context()
    forkserver.ensure_running()
    print(forkserver._forkserver._forkserver_pid, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            _, status = os.waitpid(job["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _child(job)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
