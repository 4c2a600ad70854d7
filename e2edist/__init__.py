"""Distributed end-to-end (E2E) classification of CMS detector images."""

import os
import signal
import sys

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # python -m e2edist.VERB, which has imported nothing but this yet
    # Until the verb answers signals itself (`e2edist.cli.signals`), there is nothing to end in good order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(130))
