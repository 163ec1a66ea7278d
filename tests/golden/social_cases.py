"""The messages about people that the golden vectors hold."""

from __future__ import annotations

import editing_cases as editing

from atrium_shared import messages as m


def client_messages() -> dict[str, m.ClientMessage]:
    """At least one of each that a client may say."""
    return {
        "avatar_submit": m.AvatarSubmit(201, "a1.2f6f5e.e8b48c.180"),
        "sit": m.Sit(202, editing.PROP),
        "relate_block": m.Relate(203, 70_000, "", m.Relation.BLOCK),
        "relate_forget": m.Relate(204, 0, editing.ACCOUNT, 0),
        "report": m.Report(205, 70_000, m.ReportReason.HARASSMENT, "Follows me around: 总是跟着我"),
        "safe_zone": m.SafeZone(206, True),
        "marker_submit": m.MarkerSubmit((1.5, 0.0, -2.0), 0.5),
        "rtc_signal": m.RtcSignal(17, m.SignalKind.ANSWER, b"\x00\x01\x02"),
        "voice_set": m.VoiceSet(207, m.VoiceMode.TALK),
    }


def server_messages() -> dict[str, m.ServerMessage]:
    """At least one of each that a server may say."""
    return {
        "appearance": m.Appearance(70_000, "a1.2f6f5e.e8b48c.180"),
        "relations": m.Relations((
            m.RelationEntry(editing.ACCOUNT, "Ada", m.Relation.MUTE | m.Relation.HIDE, 70_000),
            m.RelationEntry(editing.GUEST, "Zoë 🦊", m.Relation.BLOCK, 0),
        )),
        "relations_none": m.Relations(()),
        "marker": m.Marker(70_000, (1.5, 0.0, -2.0), 0.5),
        "rtc_signalled": m.RtcSignalled(70_000, m.SignalKind.OFFER, b"v=0"),
        "rtc_peers": m.RtcPeers((m.RtcPeer(70_000, True, True, True),
                                 m.RtcPeer(70_001, False, True, False))),
        "rtc_servers": m.RtcServers((m.IceServer("stun:stun.example.org:3478", "", ""),
                                     m.IceServer("turn:turn.example.org", "1764000000:42", "pw"))),
    }
