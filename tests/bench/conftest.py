"""The benchmark is no package of the project's: it is found from the checkout, as `python -m bench.deliver` finds it."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parent.parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
