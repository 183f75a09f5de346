"""The console script: catches Ctrl-C from the very first moment, before the command line has been imported.

In: a process's arguments. Out: its exit code. Neighbour: `cli`, which does the work.
"""

import sys


def main() -> None:
    try:
        from workbench.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
