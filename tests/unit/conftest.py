"""Shared by all unit tests: where the writers of golden vectors lie, and Hypothesis' profile.

Property tests are derandomised, so that a run says the same everywhere; `tests/fuzz` is where
new bytes are sought. There is no deadline: a slow machine is not a failing test.
"""

import sys
from pathlib import Path

from hypothesis import settings

# Scripts, not an installed package.
for folder in (Path(__file__).parent, Path(__file__).parents[1] / "golden"):
    sys.path.insert(0, str(folder))

settings.register_profile("atrium", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("atrium")
