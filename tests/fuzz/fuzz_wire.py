"""Fuzz target for every decoder of `atrium.1`: any bytes parse or raise the documented error.

With atheris (coverage-guided; not a dependency of the project):

    python tests/fuzz/fuzz_wire.py corpus/

Without it the same target is fed with damaged golden vectors for a number of rounds; a failure
prints the seed and the bytes, and `--seed` runs it again:

    python tests/fuzz/fuzz_wire.py --rounds 200000 --seed 7
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import secrets
import sys
from pathlib import Path

import numpy as np

from atrium_shared import codec, pose
from atrium_shared.errors import ProtocolError
from atrium_shared.snapshot import View

GOLDEN = Path(__file__).parents[1] / "golden"
ROUNDS_DEFAULT = 100_000


def target(data: bytes) -> None:
    """One input through all decoders; the first byte does not choose, each gets everything."""
    for decode in (codec.decode_client, codec.decode_server):
        try:
            message = decode(data)
        except ProtocolError:
            continue
        # Our own encoder writes snapshot bodies as bin 16, so only those come back.
        if len(data) < 65_536 and decode(codec.encode(message)) != message:
            raise AssertionError("a message does not come back as it went")
    view = View()
    try:
        # A body whose deltas have something to add to, then the input as the next tick.
        view.apply(1, b"\x3f\x01\x05" + bytes(333))
        view.apply(2, data)
    except ProtocolError:
        pass
    try:
        pose.decode_bodies(np.frombuffer(data, np.uint8)[None])
    except ValueError as error:
        if "pose body" not in str(error):
            raise


def damaged(draw: random.Random, seeds: list[bytes]) -> bytes:
    """A golden vector with a few bytes changed, cut, doubled or mixed with another."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(0, 4)):
        at = draw.randint(0, len(data))
        match draw.randint(0, 3):
            case 0:
                data[at : at + 1] = bytes([draw.randint(0, 255)])
            case 1:
                del data[at : at + draw.randint(1, 8)]
            case 2:
                data[at:at] = draw.randbytes(draw.randint(1, 8))
            case _:
                data[at:] = draw.choice(seeds)[at:]
    return bytes(data)


def fuzz_plain(rounds: int, seed: int) -> None:
    """Feed `rounds` damaged vectors; raises what the target raised, after naming the input."""
    seeds = [path.read_bytes() for path in sorted(GOLDEN.rglob("*.bin"))]
    draw = random.Random(seed)
    for number in range(rounds):
        data = damaged(draw, seeds)
        try:
            target(data)
        except BaseException:
            print(f"seed {seed}, round {number}: {data.hex()}", file=sys.stderr)
            raise


def main() -> None:
    """Atheris when it is installed and not told otherwise, else plain rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="plain rounds, also where atheris is installed")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options, rest = parser.parse_known_args()
    if options.rounds is None and importlib.util.find_spec("atheris"):
        atheris = importlib.import_module("atheris")
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *rest], target)
        atheris.Fuzz()
        return
    rounds = options.rounds or ROUNDS_DEFAULT
    fuzz_plain(rounds, options.seed)
    print(f"{rounds} rounds with seed {options.seed}: every input parsed or was refused")


if __name__ == "__main__":
    main()
