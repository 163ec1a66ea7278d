"""Worlds as glTF: out of Atrium and back, and from other programs. PURE."""
