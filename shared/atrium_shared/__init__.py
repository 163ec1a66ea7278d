"""What every part of Atrium agrees on: limits, units, messages and their bytes. Pure."""
