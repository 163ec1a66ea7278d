"""Where we stood at each pose we sent, so that a late correction costs only what it must. Pure.

A correction answers an old pose: "at your pose `seq` you stood there". What has been walked since
is not touched by it. So the roots of the newest POSES_REMEMBERED poses are kept by `seq`; the
correction tells how far off the root of that pose was, and that root, those after it and where we
want to be now all move by the same amount. Roots are kept as the wire rounded them, so that a
correction that changes nothing moves nothing.
"""

from __future__ import annotations

from typing import Final

from atrium_client.body import Vector

POSES_REMEMBERED: Final = 128


class OwnRoots:
    """Roots of poses that were sent, in metres, by their `seq`."""

    def __init__(self) -> None:
        self._roots: dict[int, Vector] = {}

    def sent(self, seq: int, root: Vector) -> None:
        """The pose `seq` has said `root`."""
        self._roots[seq] = root
        self._roots.pop(seq - POSES_REMEMBERED, None)

    def reconcile(self, seq: int, root: Vector, wanted: Vector) -> Vector:
        """Where to stand now: the server put the pose `seq` at `root`, and we want `wanted`.

        The root itself when the pose is not remembered. All in whole millimetres, as metres.
        """
        told = self._roots.get(seq)
        if told is None:
            return root
        self._roots = {key: _shifted(at, told, root) for key, at in self._roots.items()}
        return _shifted(wanted, told, root)

    def jumped(self, root: Vector) -> None:
        """We were put to `root`: poses on their way are answered from there."""
        self._roots = dict.fromkeys(self._roots, root)

    def forget(self) -> None:
        """A new epoch: no correction of an earlier pose can come."""
        self._roots.clear()


def _shifted(at: Vector, source: Vector, target: Vector) -> Vector:
    """`at`, moved as from `source` to `target`; the rounding takes off what floats add."""
    (x, y, z), (a, b, c), (d, e, f) = at, source, target
    return (round(x + d - a, 3), round(y + e - b, 3), round(z + f - c, 3))
