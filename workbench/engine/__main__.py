"""`python -m workbench.engine MODEL`: the process, as `client.launch` starts it."""

import argparse
import sys
from pathlib import Path

from workbench.engine.service import IDLE_S, serve
from workbench.errors import WorkbenchError

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--data-dir", dest="data", type=Path)
parser.add_argument("--device", default="cpu")
parser.add_argument("--dtype", default="auto")
parser.add_argument("--tensor-parallel", type=int, default=1)
parser.add_argument("--idle-s", type=float, default=IDLE_S)
given = parser.parse_args()
try:
    serve(**vars(given))
except WorkbenchError as error:
    sys.exit(str(error))
