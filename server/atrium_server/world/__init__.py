"""The pure world: manifest, colliders and movement rules; no clock, no network, no randomness."""
