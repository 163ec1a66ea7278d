"""The version of this distribution; hatchling reads it from here, so it is said only once."""

from typing import Final

VERSION: Final = "0.1.0"
