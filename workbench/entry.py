"""The console script: catches Ctrl-C from the very first moment, before the command line has been imported.

In: a process's arguments. Out: its exit code. Neighbours: `cli`, which does the work; `models.loading`, where most of
what a process holds comes from.

A process with a model holds a million objects that were imported and are no garbage. To look through them takes a tenth
of the time to the first token, and to take them apart at the end more than a second: neither is done here.
"""

import atexit
import gc
import os
import signal
import sys
import threading


def main() -> None:
    gc.disable()
    try:
        from workbench import models
        from workbench.cli import main as run

        models.keeps_all = True
        gc.freeze()
        gc.enable()
        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as ended:
        _leave(ended.code)
        raise


def _leave(code: object) -> None:
    """End the process now, after everything that was registered for its end; comes back where something stands against
    it, and Python ends in its own way."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    if others or not isinstance(code, int):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # the process may have been given none
                stream.flush()
    except (OSError, ValueError):  # nobody reads any more
        return
    atexit._run_exitfuncs()
    os._exit(code)
