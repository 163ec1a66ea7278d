"""Puts the helpers of these tests in reach."""

from __future__ import annotations

import sys
from pathlib import Path

# A module of helpers, not an installed package.
sys.path.insert(0, str(Path(__file__).parent))
