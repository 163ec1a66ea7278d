"""Who is connected with whom by voice. PURE.

Theory of operation
-------------------
Voice goes from person to person, past the server; what the server says is who may be connected.
About twice a second pairs are chosen by where people stand: the nearest pair first, as long as
neither of the two has VOICE_PEERS_MAX already, they are within the world's voice radius, and at
least one of them wants to talk and may be heard by the other. So the choice is symmetric, nobody
is preferred, and equal worlds choose equally. A pair that exists counts as nearer than it is: it
is kept until somebody else is clearly nearer, and does not flap at the border. A choice among many
is made over some ticks (`voice_round`), and where a whole crowd changes its pairs, it is told so
over some ticks.

What ends a pair ends it at once: leaving, switching off, a lost link, and any change of what may
pass between people, after which all pairs are looked through (`prune`) at the beginning of the next
tick, and a new choice begins. A pair begins only at the beginning of a tick, so that who has
switched voice on in a tick has been told the ICE servers before the first peers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atrium_server.world import commands as c
from atrium_server.world.manifest import Manifest
from atrium_server.world.relations import Relations
from atrium_server.world.tables import Tables
from atrium_server.world.voice_kernels import HEARS, SENDS, SLOT_BITS, prune
from atrium_server.world.voice_round import Crowd, Round
from atrium_shared import limits, pose
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import Result, RtcPeer, RtcPeers, VoiceMode

CHOSEN_S = 0.5
"""Between two choices."""
TOLD_PER_TICK_MAX = 200
_SPEAKING = int(pose.Flags.SPEAKING)
_TALK = int(VoiceMode.TALK)
assert limits.SESSIONS_PER_WORLD_MAX < 2**SLOT_BITS, "slots must fit into the keys of edges"


class Voices:
    """The pairs of one world, all by slot."""

    def __init__(self, manifest: Manifest, tables: Tables, relations: Relations) -> None:
        n = manifest.capacity
        self._tables, self._relations = tables, relations
        self._is_enabled = manifest.voice.is_enabled
        self._radius_mm = round(manifest.voice.radius_m * 1000)
        self._period = max(1, round(CHOSEN_S * manifest.tick_rate_hz))
        self.modes = np.zeros(n, np.uint8)
        self.peers = np.full((n, limits.VOICE_PEERS_MAX), -1, np.int32)
        """With whom each is paired, ascending, then -1."""
        self.flows = np.zeros((n, limits.VOICE_PEERS_MAX), np.uint8)
        """What may flow between the two: bits SENDS and HEARS."""
        self.untold = np.zeros(n, np.uint8)
        """1 for whose peers are others than was told."""
        self.seen_version = np.zeros(1, np.int64)
        """Of the relations, when pairs were looked through; an array, as it is saved with them."""
        self.is_due = False
        """Whether another choice is to begin as soon as none is under way."""
        self.round: Round | None = None
        """The choice that is under way."""

    # --- what people want ----------------------------------------------------------------

    def set(self, command: c.SetVoice, slot: int, out: c.TickOutput) -> None:
        """Somebody wants voice, or no more of it."""
        if not self._is_enabled and command.mode is not VoiceMode.OFF:
            answer = Result(
                command.request_id, ErrorCode.NOT_ALLOWED, "There is no voice in this world.", 0
            )
            out.tells.append(c.Tell((command.session_id,), answer))
            return
        out.tells.append(c.Tell(
            (command.session_id,), Result(command.request_id, ErrorCode.OK, "", 0)
        ))
        before = int(self.modes[slot])
        self.modes[slot] = command.mode
        if command.mode is VoiceMode.OFF:
            self.end(slot, out)
            return
        out.voiced.append(command.session_id)
        if before == _TALK and command.mode is not VoiceMode.TALK:
            self._silence(slot)
            self.seen_version[0] = -1  # the others hear at once that nothing comes any more

    def end(self, slot: int, out: c.TickOutput) -> None:
        """Voice is over for who stands in this slot: gone, without a link, or switched off."""
        self.modes[slot] = 0
        if self.round is not None:
            self.round.leave(slot)
        self._silence(slot)
        others = [other for other in self.peers[slot].tolist() if other >= 0]
        self.peers[slot], self.flows[slot] = -1, 0
        is_untold, self.untold[slot] = bool(self.untold[slot]), 0
        for other in others:
            kept = [k for k, one in enumerate(self.peers[other].tolist()) if one not in (-1, slot)]
            peers, flows = self.peers[other][kept], self.flows[other][kept]
            self.peers[other], self.flows[other] = -1, 0
            self.peers[other, : len(kept)], self.flows[other, : len(kept)] = peers, flows
        if others or is_untold:
            for one in (slot, *others):
                self._tell(one, out)

    def mask(self, slots: npt.NDArray[np.int32]) -> None:
        """Nobody speaks but who wants to talk; after poses of these slots were taken."""
        rows = self._tables.poses.rows
        silent = slots[self.modes[slots] != _TALK]
        rows[silent, pose.FLAGS] &= ~_SPEAKING

    def _silence(self, slot: int) -> None:
        self._tables.poses.rows[slot, pose.FLAGS] &= ~_SPEAKING

    # --- pairs ---------------------------------------------------------------------------

    def step(self, tick: int, out: c.TickOutput) -> None:
        """Once a tick, before its commands: end and choose pairs, and tell of them."""
        self.choose(tick)
        if not self.untold.any():
            return
        slots = np.flatnonzero(self.untold)
        # Who is told first goes round, so that nobody waits for ever.
        later = slots >= tick * TOLD_PER_TICK_MAX % len(self.untold)
        for slot in [*slots[later].tolist(), *slots[~later].tolist()][:TOLD_PER_TICK_MAX]:
            self._tell(slot, out)

    def choose(self, tick: int) -> None:
        """End and choose pairs; who has others than before is `untold`."""
        self._prune()
        self._go_on(tick)

    def _prune(self) -> None:
        """End what may not be any more, when anything has changed between people."""
        if self._relations.version == self.seen_version[0]:
            return
        self.seen_version[0] = self._relations.version
        self.is_due = True
        prune(
            self.peers, self.flows, self.modes, self._relations.deaf, self._relations.safe,
            self.untold,
        )

    def _go_on(self, tick: int) -> None:
        """Go on with the choice of pairs, or begin one where it is time."""
        self.is_due = self.is_due or not tick % self._period
        crowd = self._crowd()
        if self.round is None:
            if not self.is_due:
                return
            self.is_due = False
            wants = (self.modes > 0) & (self._tables.alive == 1) & (self._relations.safe == 0)
            if not wants.any():
                return  # nor is there a pair: who wants none any more has none
            self.round = Round.of(np.flatnonzero(wants).astype(np.int32), crowd)
            if self.round.is_of_crowd:
                return
        chosen = self.round.step(crowd)
        if chosen is None:
            return
        self.round = None
        peers, flows = chosen
        self.untold |= (peers != self.peers).any(axis=1) | (flows != self.flows).any(axis=1)
        self.peers, self.flows = peers, flows

    def _crowd(self) -> Crowd:
        return Crowd(
            self._tables.poses.rows, self.modes, self._relations.deaf, self._relations.safe,
            self.peers, self._radius_mm,
        )

    def paired_session(self, slot: int, entity_id: int) -> int | None:
        """The session of a peer of this slot; None when the two are not paired, or have just said
        what ends it.
        """
        for other in self.peers[slot].tolist():
            if other >= 0 and int(self._tables.entity_ids[other]) == entity_id:
                may_flow = self._may_flow(slot, other) or self._may_flow(other, slot)
                return int(self._tables.sessions[other]) if may_flow else None
        return None

    def _may_flow(self, speaker: int, listener: int) -> bool:
        return self.modes[speaker] == _TALK and self._relations.may_hear(listener, speaker)

    def _tell(self, slot: int, out: c.TickOutput) -> None:
        self.untold[slot] = 0
        session, ids = int(self._tables.sessions[slot]), self._tables.entity_ids
        peers = tuple(
            RtcPeer(int(ids[other]), bool(ids[slot] > ids[other]), bool(flow & SENDS),
                    bool(flow & HEARS))
            for other, flow in zip(
                self.peers[slot].tolist(), self.flows[slot].tolist(), strict=True
            ) if other >= 0
        )
        out.tells.append(c.Tell((session,), RtcPeers(peers)))
