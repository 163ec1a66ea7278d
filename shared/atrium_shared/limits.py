"""The bounds on what peers and worlds may be, in one place, related to each other by asserts.

Names are noun_unit_max (or _min). A limit is part of the design: it says how much of a thing one
peer may make us hold, and so how much memory and time the whole can need. Settings may lower
some of them for one deployment (see `atrium_server.config`); nothing may raise them at run time.
"""

from __future__ import annotations

# --- bytes from a peer -------------------------------------------------------------------
MESSAGE_BYTES_MAX = 16_384
"""Largest WebSocket message a client may send."""
HTTP_HEAD_BYTES_MAX = 8_192
"""Largest request line plus headers of a WebSocket handshake."""
RECEIVE_BYTES_MAX = 4_096
"""Most bytes taken from one socket in one pump pass: fairness between peers."""
RELIABLE_BYTES_MAX = 262_144
"""Most bytes of reliable messages waiting for one client; more closes that session."""
RELIABLE_MESSAGES_MAX = 4_096
OUTGOING_BYTES_MAX = 65_536
"""Most bytes of what others say that are handed to a socket together with one snapshot."""

# --- text --------------------------------------------------------------------------------
NAME_CHARS_MAX = 32
NAME_BYTES_MAX = 96
CHAT_CHARS_MAX = 500
CHAT_BYTES_MAX = 2_000
AVATAR_CHARS_MAX = 128
REPORT_CHARS_MAX = 1_000
SIGNAL_BYTES_MAX = 8_192
WORLD_NAME_CHARS_MAX = 32
TOKEN_CHARS_MAX = 512
SENTENCE_CHARS_MAX = 300
FEATURES_MAX = 32
FEATURE_CHARS_MAX = 32

# --- rates per session -------------------------------------------------------------------
POSE_RATE_HZ_MAX = 66
"""Poses per second that are taken without complaint (60 Hz and some jitter)."""
MESSAGES_PER_S_MAX = 100
"""All messages together, sustained; the bucket holds MESSAGES_BURST_MAX."""
MESSAGES_BURST_MAX = 300
CHAT_PER_S_MAX = 2.0
CHAT_BURST_MAX = 6
EMOTE_PER_S_MAX = 4.0
EMOTE_BURST_MAX = 8
REQUEST_PER_S_MAX = 5.0
REQUEST_BURST_MAX = 10
SIGNAL_PER_S_MAX = 30.0
"""Offers, answers and candidates of voice, to all peers together."""
SIGNAL_BURST_MAX = 240
SIGNAL_BYTES_PER_S_MAX = 64_000
"""Signals that one person is sent by all peers together; more is dropped."""
SIGNAL_BYTES_BURST_MAX = 131_072
"""Six offers with all their candidates fit into it, and it fits into RELIABLE_BYTES_MAX."""
VOICE_PEERS_MAX = 6
"""With whom somebody is connected by voice at once."""
CLOCK_PER_S_MAX = 4.0
CLOCK_BURST_MAX = 12

# --- people ------------------------------------------------------------------------------
RELATIONS_MAX = 200
"""People about whom one may do something at once."""
GUEST_RELATIONS_MAX = 32
"""As many for a guest: they are kept in the row of the session."""
LEFT_REMEMBERED_MAX = 256
"""Avatars that went lately and can still be muted and reported."""
RELATIONS_TOLD_S = 2.0
"""That somebody in one's relations came or went is told no more often than this."""
RELATIONS_TOLD_PER_TICK_MAX = 4
"""Such lists, each some 20 kB at most, that one tick tells because of others."""
RELATIONS_ANSWERED_PER_TICK_MAX = 16
"""Such lists that one tick tells to those who changed theirs; the others hear in a later one."""
SIGNAL_COST_BYTES_MIN = 64
"""What a signal counts beside its data, in all that is sent to one person."""
SIGNALS_WAITING_BYTES_MAX = RELIABLE_BYTES_MAX // 2
"""While more than this waits for a link, no signals are put behind it: too much ends a connection,
and nobody may bring that about for somebody whose link is slow."""
AVATAR_CHANGE_S_MIN = 2.0
"""Between two changes of one's looks."""
MARKER_RANGE_M_MAX = 50.0
"""From one's root to what one points at."""
REPORT_PER_S_MAX = 0.05
REPORT_BURST_MAX = 3
REPORTS_PER_TICK_MAX = 2
"""In all; to gather the evidence of one takes some milliseconds at most."""
REPORT_EVIDENCE_S = 60.0
"""How far back the evidence of a report goes: lines and places of the two, and nothing else."""
HISTORY_LINES_MAX = 32
"""WORLD lines that a newcomer is told."""

# --- connections -------------------------------------------------------------------------
CONNECTIONS_MAX = 12_000
CONNECTIONS_PER_ADDRESS_MAX = 64
HANDSHAKES_PER_ADDRESS_PER_S_MAX = 20.0
HANDSHAKES_PER_ADDRESS_BURST_MAX = 64
HANDSHAKES_PER_TRUSTED_ADDRESS_PER_S_MAX = 500.0
HANDSHAKES_PER_TRUSTED_ADDRESS_BURST_MAX = CONNECTIONS_MAX
"""A load test may fill the server as fast as it likes; to reconnect for ever is no load test."""
FORWARDED_HOPS_MAX = 16
"""Proxies that one request may have come through."""
ADDRESSES_TRACKED_MAX = 65_536
HANDSHAKE_S_MAX = 5.0
"""From accept to a finished HTTP upgrade."""
JOIN_S_MAX = 10.0
"""From the upgrade to ACTIVE, and the life of a JOINING seat."""
RESUME_S_MAX = 30.0
"""How long a seat waits for its owner after the link was lost."""
SILENCE_PING_S = 8.0
"""A peer silent for this long is pinged."""
SILENCE_S_MAX = 20.0
"""A peer silent for this long is gone."""
DRAIN_S_MAX = 3.0
"""SIGTERM to the last socket closed."""

# --- worlds ------------------------------------------------------------------------------
WORLDS_MAX = 64
TICK_RATE_HZ_MIN = 5
TICK_RATE_HZ_MAX = 60
TICK_RATE_HZ_DEFAULT = 20
SESSIONS_PER_WORLD_MAX = 10_000
INDEXES_MAX = 255
"""Entities one client can see at once: an index is one byte and 255 means 'none'."""
INBOX_COMMANDS_MAX = 16_384
COLLIDERS_MAX = 4_096
SEATS_MAX = 1_024
ZONES_MAX = 256
SPAWNS_MAX = 256
WORLD_EXTENT_M_MAX = 8_388.0
"""Half the side of a world: x and z are 24-bit millimetres."""
Y_EXTENT_MM_UNITS_MAX = 32_767
MANIFEST_BYTES_MAX = 1_048_576
WORLD_RESTARTS_MAX = 3
WORLD_RESTARTS_S = 3_600.0
"""A world that fails more than WORLD_RESTARTS_MAX times within this stays down."""
CATCH_UP_TICKS_MAX = 3
"""A late ticker runs at most this many ticks back to back, then skips."""
REPLAY_S_MAX = 60.0
REPLAY_BYTES_MAX = 32 * 1024 * 1024
REPLAY_CHECKPOINT_S = 15.0
"""The inputs kept in memory begin at a checkpoint; this often one is taken."""

# --- what one world publishes ------------------------------------------------------------
# A line costs (1 + readers) times (LINE_BYTES_MIN + its text in UTF-8). Each kind of publication
# has a budget of its own, so that none can hold up another; debt is carried from tick to tick.
CHAT_HISTORY_MAX = 256
CHAT_HELD_PER_SESSION_MAX = 16
LINE_BYTES_MIN = 320
"""What a line or emote costs for each reader besides text: name and heads (at most 140 bytes), and
the work of handing it over, which bounds a world to some 125,000 deliveries per second."""
DELIVERED_BYTES_PER_S_MAX = 40_000_000
"""All that one world publishes; its parts follow."""
WORLD_LINES_BYTES_PER_S_MAX = 16_000_000
"""The longest line costs 23 MB among 10,000 people: no debt lasts for more than 1.5 s."""
NEARBY_LINES_BYTES_PER_S_MAX = 8_000_000
DIRECT_LINES_BYTES_PER_S_MAX = 4_000_000
EMOTES_BYTES_PER_S_MAX = 8_000_000
"""Emotes beyond it are dropped."""
LOOKS_BYTES_PER_S_MAX = 2_000_000
"""Everybody hears how somebody looks now; who wants to change beyond it is asked to wait."""
MARKERS_BYTES_PER_S_MAX = 2_000_000
"""Markers beyond it are dropped."""
SCAN_BYTES_MIN = 20
"""What looking for those near costs for each slot of the world: a sixteenth of a delivery."""
READER_BYTES_PER_S_MAX = 8_000
"""What one reader hears of WORLD lines: some twenty usual lines per second, which is more than
anybody reads, and three of the longest. As much again for lines that are DIRECT, and for those
that are NEARBY the same place."""
CHAT_WAITING_S_MAX = 2.0
"""WORLD lines that wait, for a verdict or their turn, are at most what this many seconds publish
(and one line): who has been silent for long is then heard, or is told 'no', at once."""
CLOSE_CHAT_WAITING_BYTES_MAX = 262_144
"""Lines (LINE_BYTES_MIN and text) that wait in NEARBY and in DIRECT, each: some 700 usual ones."""
CHAT_QUIET_S = 2.0
"""Who has not asked to speak for this long is heard before those who have. To speak as often as a
session may is to ask every half second; to answer somebody takes longer than this."""
CHAT_TURN_S_MAX = 5.0
"""A line whose turn has not come this long after its verdict is refused: the author must not wait
for an answer until its patience ends (30 s in the Python client)."""
LINES_PER_S_MAX = 1_200
"""Lines that one world cleans and sends to its judge; 10,000 people who say something every
10 s are 1,000."""
EMOTES_PER_TICK_MAX = 64
"""Emotes that one world looks at in one tick, and as many markers."""

assert DELIVERED_BYTES_PER_S_MAX == (
    WORLD_LINES_BYTES_PER_S_MAX + NEARBY_LINES_BYTES_PER_S_MAX + DIRECT_LINES_BYTES_PER_S_MAX
    + EMOTES_BYTES_PER_S_MAX + LOOKS_BYTES_PER_S_MAX + MARKERS_BYTES_PER_S_MAX
)
assert (1 + SESSIONS_PER_WORLD_MAX) * (LINE_BYTES_MIN + CHAT_BYTES_MAX) < (
    CHAT_WAITING_S_MAX * WORLD_LINES_BYTES_PER_S_MAX
), "somebody who has been silent waits for one line of any other, even the longest"
assert LINE_BYTES_MIN + CHAT_BYTES_MAX < CHAT_WAITING_S_MAX * READER_BYTES_PER_S_MAX
assert CHAT_WAITING_S_MAX < CHAT_TURN_S_MAX
assert CHAT_QUIET_S * CHAT_PER_S_MAX > 1
assert LINES_PER_S_MAX >= TICK_RATE_HZ_MAX, "every tick takes a line"
assert 4 * CHAT_CHARS_MAX <= CHAT_BYTES_MAX

# --- replication -------------------------------------------------------------------------
RING_TICKS = 4
"""Ticks of quantised state kept besides the current one: the oldest delta is this old."""
CREDIT_RING_TICKS = 128
"""Ticks for which the bytes sent so far are remembered, to turn `ack_tick` into credit."""
CREDIT_S = 0.25
"""Seconds of its own link that one client may have outstanding."""
VISIBLE_AGE_S_MAX = 1.0
"""Nothing a client sees is older than this (while its link takes what was promised)."""
BYTES_PER_S_MIN = 4_000
BYTES_PER_S_MAX = 4_000_000
BYTES_PER_S_DEFAULT = 1_000_000
BANDWIDTH_SHARE = 0.7
"""Part of a client's declared bytes per second that avatars may use."""

assert MESSAGE_BYTES_MAX <= RELIABLE_BYTES_MAX
assert NAME_CHARS_MAX <= NAME_BYTES_MAX <= 4 * NAME_CHARS_MAX
assert CHAT_CHARS_MAX <= CHAT_BYTES_MAX < MESSAGE_BYTES_MAX
assert POSE_RATE_HZ_MAX < MESSAGES_PER_S_MAX < MESSAGES_BURST_MAX
assert TICK_RATE_HZ_MIN <= TICK_RATE_HZ_DEFAULT <= TICK_RATE_HZ_MAX
assert INDEXES_MAX <= 255
assert CREDIT_RING_TICKS > 2 * TICK_RATE_HZ_MAX
assert REPLAY_CHECKPOINT_S * 2 <= REPLAY_S_MAX
assert WORLD_EXTENT_M_MAX * 1000 < 2**23
assert HANDSHAKE_S_MAX < JOIN_S_MAX < RESUME_S_MAX
assert SILENCE_PING_S * 2 < SILENCE_S_MAX

# --- HTTP --------------------------------------------------------------------------------
HTTP_BODY_BYTES_MAX = 65_536
"""Largest body of a request; it is read whole before a handler sees it."""
HTTP_BODY_S_MAX = 10.0
"""From the head of a request to the last byte of its body."""
HTTP_IDLE_S_MAX = 15.0
"""A connection without a request, or with half a request head, is closed after this."""
HTTP_SEND_BYTES_MAX = 65_536
"""One hand-over to a socket: with HTTP_SEND_S_MAX the slowest link that is served, 3 kB/s."""
HTTP_SEND_S_MAX = 20.0
"""The longest that one hand-over to a socket may take before the peer counts as gone."""
HTTP_REQUESTS_PER_CONNECTION_MAX = 1_000
HTTP_REQUESTS_PER_ADDRESS_PER_S_MAX = 100.0
"""Requests of one address, sustained; the bucket holds HTTP_REQUESTS_PER_ADDRESS_BURST_MAX."""
HTTP_REQUESTS_PER_ADDRESS_BURST_MAX = 200
HTTP_REQUESTS_PER_TRUSTED_ADDRESS_PER_S_MAX = 2_000.0
HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX = 4_000
"""A school behind one router loads the page in the same minute."""
HTTP_STATIC_SHARE = 0.1
"""What a file of the page counts, as part of a request: it is there already, in memory."""
HTTP_REFUSAL_S = 1.0
"""Who asks too often waits this long for the answer that says so."""
HTTP_REFUSALS_HELD_MAX = 64
"""Refusals that wait at once; further ones are answered at once and their connection closed."""

assert HTTP_REQUESTS_PER_ADDRESS_PER_S_MAX <= HTTP_REQUESTS_PER_ADDRESS_BURST_MAX
assert (
    HTTP_REQUESTS_PER_TRUSTED_ADDRESS_PER_S_MAX <= HTTP_REQUESTS_PER_TRUSTED_ADDRESS_BURST_MAX
)
assert HTTP_REFUSAL_S < HTTP_BODY_S_MAX < HTTP_IDLE_S_MAX < HTTP_SEND_S_MAX
assert HTTP_REFUSALS_HELD_MAX >= CONNECTIONS_PER_ADDRESS_MAX

# --- props -------------------------------------------------------------------------------
PROPS_PER_WORLD_MAX = 100_000
PROP_BYTES_MAX = 8_192
"""Most bytes of the properties of one prop, as JSON."""
PROP_TITLE_CHARS_MAX = 64
SIGN_CHARS_MAX = 500
PROP_SCALE_MIN, PROP_SCALE_MAX = 0.01, 100.0
LIGHT_CD_MAX = 10_000.0
LIGHT_RANGE_M_MAX = 50.0
SPAWN_RADIUS_M_MAX = 50.0
EDIT_PROPS_MAX = 64
"""Props that one edit can name."""
EDIT_CHANGES_MAX = 256
"""Props that one edit can change, those in groups counted."""
GROUP_DEPTH_MAX = 8
UNDO_EDITS_MAX = 100
"""Edits of one person that can be taken back."""
UNDO_CHANGES_MAX = 1_000
"""Changes of props in all of them together."""
OWNER_CHARS_MAX = 48
EDIT_PER_S_MAX = 30.0
"""Edits, grabs and releases of one session; a gizmo that is dragged sends 20."""
EDIT_BURST_MAX = 60
EDIT_PROPS_PER_S_MAX = 256
"""Props that one person changes, sustained: who changes 256 at once waits for a second."""
DRAG_PER_S_MAX = 15.0
"""How often somebody may tell where things are while they are dragged."""
DRAG_BURST_MAX = 30
DRAG_S_MAX = 2.0
"""What is dragged and not told of for this long stands again where its state says."""
DRAGS_PER_TICK_MAX = 256
"""Props whose drags one world looks at in one tick."""
GRAB_PER_S_MAX = 3.0
GRAB_BURST_MAX = 12
EDITS_REMEMBERED_MAX = 1_024
"""Edits of one session whose outcome is known when they are asked again, the newest."""
EDITS_UNANSWERED_MAX = 256
"""Edits of one session that may wait for the database."""
PROPS_BYTES_PER_S_MAX = 64_000
"""What one reader is told of props: some 600 that move each tick of a second."""
PROPS_DELIVERED_BYTES_PER_S_MAX = 24_000_000
"""What all readers of a world together are told of props."""
HANDS_BYTES_PER_S_MAX = 16_000
"""What one reader is told of props in hands and in the air."""
HANDS_DELIVERED_BYTES_PER_S_MAX = 8_000_000
DRAGS_BYTES_PER_S_MAX = 32_000
"""What one reader is told of props that are dragged: eight that are moved as often as may be told,
each by another. Beyond it drags are dropped: the edit that ends them comes by another way."""
DRAGS_DELIVERED_BYTES_PER_S_MAX = 8_000_000
HELD_PROPS_MAX = 512
"""Props of one world that are in hands: newcomers are told of all of them."""
PROPS_MESSAGE_BYTES_MAX = 24_000
"""Of one message about props, about."""
SCENE_CHANGES_MAX = 1_000
SCENE_CHANGES_BYTES_MAX = 131_072
"""What a newcomer is told on top of the scene before a newer scene is made."""
SCENE_S_MIN = 2.0
"""From one scene of a world to the next."""
SCENE_AGE_S_MAX = 30.0
"""What was changed is in the scene after this, for who looks at nothing else."""
SCENES_UNPACKED_AT_ONCE_MAX = 8
"""Scenes are kept by gzip; for so many clients at a time that do not take it they are unpacked."""
SCENES_KEPT_S = 60.0
"""How long an older scene is served to who was told of it."""
HANDS_MAX = 2
RELEASE_M_PER_S_MAX = 50.0
"""Speed on each axis that a client may claim for a thrown prop; what is flown with is less."""
GRAB_RANGE_M_MAX = 3.0
"""From an avatar's root to what it takes in the hand, and to where it lets go of it."""
GRIP_M_MAX = 2.0
"""From the hand to the middle of what it holds."""

assert SIGNAL_PER_S_MAX <= SIGNAL_BURST_MAX < MESSAGES_BURST_MAX
assert DRAG_PER_S_MAX <= DRAG_BURST_MAX < MESSAGES_BURST_MAX
assert EDIT_PER_S_MAX <= EDIT_BURST_MAX < MESSAGES_BURST_MAX
assert EDITS_UNANSWERED_MAX <= EDITS_REMEMBERED_MAX
assert PROPS_MESSAGE_BYTES_MAX + 2 * PROP_BYTES_MAX < OUTGOING_BYTES_MAX
assert PROP_BYTES_MAX + 1_024 < MESSAGE_BYTES_MAX
assert SCENE_CHANGES_BYTES_MAX < RELIABLE_BYTES_MAX

# --- history and interchange -------------------------------------------------------------
HISTORY_S_MAX = 30 * 86_400.0
"""How far back a world can be brought; edits and tombstones older than this are forgotten."""
HISTORY_PAGE_EDITS_MAX = 200
"""Edits that one question about the history of a world is answered with."""
EDIT_ROW_BYTES_MAX = 65_536
"""JSON of the changes in one edit of an import, a restore or a roll-back, about: many changes
are many edits of one version."""
IMPORT_BYTES_MAX = 512 * 1024 * 1024
"""Largest file of a world that is read."""
IMPORT_JSON_BYTES_MAX = 128 * 1024 * 1024
"""Of it, what is JSON: 100,000 props with what they usually carry are some 45 MB."""
IMPORT_NODES_MAX = 1_000_000
IMPORT_PARTS_MAX = 1_000_000
"""Of each other list of a glTF file: accessors, meshes, materials, ..."""
IMPORT_DEPTH_MAX = 64
"""Nodes within nodes."""
IMPORT_EXTRAS_BYTES_MAX = 2 * PROP_BYTES_MAX
"""What one node of a glTF file may carry beside the standard."""
IMPORT_WARNINGS_MAX = 100
EXPORT_BYTES_MAX = IMPORT_BYTES_MAX
"""Largest file of a world that is written, so that what was written can be read."""

assert EDIT_ROW_BYTES_MAX > 2 * PROP_BYTES_MAX
assert PROPS_PER_WORLD_MAX < IMPORT_NODES_MAX
assert GROUP_DEPTH_MAX < IMPORT_DEPTH_MAX
assert IMPORT_JSON_BYTES_MAX < IMPORT_BYTES_MAX < 2**32

# --- assets ------------------------------------------------------------------------------
ASSET_BYTES_MAX = 33_554_432
ASSETS_BYTES_MAX = 34_359_738_368
"""All files of the store together; settings may lower it."""
ASSETS_PER_ACCOUNT_BYTES_MAX = 536_870_912
ASSETS_DISK_FREE_BYTES_MIN = 268_435_456
"""No file is taken that would leave the disk with less: the database may lie on the same one."""
UPLOADS_MAX = 8
"""Uploads that are received, wait or are checked at the same time."""
UPLOADS_PER_ACCOUNT_MAX = 2
UPLOADS_PER_ACCOUNT_PER_S_MAX = 0.2
UPLOADS_PER_ACCOUNT_BURST_MAX = 40
"""Somebody who furnishes a room sends many small files at once."""
UPLOAD_PIECE_S_MAX = 10.0
"""The longest silence within an upload."""
UPLOAD_BYTES_PER_S_MIN = 65_536
"""The slowest upload that is taken to its end, after the first UPLOAD_PIECE_S_MAX."""
UPLOAD_SLICE_BYTES_MAX = 262_144
"""What is hashed and written in one call of a worker thread."""
UPLOAD_LINGER_S_MAX = 2.0
"""How long the rest of a refused upload is read, so that the peer gets to see the answer."""
ASSET_CHECKS_MAX = 2
ASSET_CHECKS_WAITING_MAX = 16
ASSET_CHECK_S_MAX = 30.0
ASSET_CHECK_CPU_S_MAX = 20
ASSET_CHECK_MEMORY_BYTES_MAX = 1_073_741_824
ASSET_ANSWER_BYTES_MAX = 65_536
"""Without pictures."""
PICTURES_MAX = 16
"""Of one file, that a network is shown."""
PICTURES_JUDGED_S_MAX = 20.0
"""So long the pictures of one upload wait for a network, its turn included."""
ASSET_PICTURES_BYTES_MAX = ASSET_ANSWER_BYTES_MAX + PICTURES_MAX * 201_000
"""An answer with pictures, which are base64 there."""
ASSET_READS_MAX = 4
"""Worker threads that read files for downloads."""
ASSET_READ_BYTES_MAX = 65_536
ASSETS_KNOWN_MAX = 8_192
"""Assets whose facts are kept in memory, so that a download asks no database."""
ASSET_UNUSED_S_MAX = 3_024_000.0
"""35 days. A world can be brought back to any moment of the last 30: what stood in it then must
still be there."""
IMAGE_SIDE_PX_MAX = 8_192
IMAGE_PX_MAX = 33_554_432
"""A panorama of 8192 x 4096."""
IMAGES_PX_MAX = 67_108_864
"""All images of one model."""
IMAGE_SCANS_MAX = 64
"""Of a progressive JPEG; each costs a pass over the whole image."""
IMAGE_CHUNKS_MAX = 16_384
GLTF_JSON_VALUES_MAX = 500_000
GLTF_JSON_DEPTH_MAX = 32
GLTF_NODES_MAX = 10_000
GLTF_NODE_DEPTH_MAX = 64
GLTF_ACCESSORS_MAX = 20_000
GLTF_BUFFERS_MAX = 64
GLTF_MESHES_MAX = 4_096
GLTF_DRAWS_MAX = 4_096
"""Primitives, counted once for each node that shows them."""
GLTF_MATERIALS_MAX = 256
GLTF_IMAGES_MAX = 128
GLTF_TEXTURES_MAX = 256
GLTF_SKINS_MAX = 64
GLTF_JOINTS_MAX = 256
GLTF_ANIMATIONS_MAX = 256
GLTF_CHANNELS_MAX = 10_000
GLTF_LIGHTS_MAX = 64
GLTF_TARGETS_MAX = 128
"""Morph targets of one primitive."""
GLTF_TRIANGLES_MAX = 1_000_000
GLTF_VERTICES_MAX = 2_000_000
"""Both counted once for each node that shows them."""
GLTF_DECODED_BYTES_MAX = 268_435_456
"""Of all accessors, counted one by one: many may share the same bytes."""
GLTF_EXTENT_M_MAX = 10_000.0
SOUND_S_MAX = 600.0
SOUND_RATE_HZ_MIN, SOUND_RATE_HZ_MAX = 8_000, 48_000
SOUND_CHANNELS_MAX = 2

assert ASSET_BYTES_MAX <= ASSETS_PER_ACCOUNT_BYTES_MAX <= ASSETS_BYTES_MAX
assert UPLOADS_PER_ACCOUNT_MAX <= UPLOADS_MAX <= ASSET_CHECKS_WAITING_MAX
assert ASSET_CHECK_CPU_S_MAX < ASSET_CHECK_S_MAX
assert IMAGE_PX_MAX <= IMAGES_PX_MAX <= IMAGE_SIDE_PX_MAX**2
assert 4 * IMAGE_PX_MAX + GLTF_DECODED_BYTES_MAX + 4 * ASSET_BYTES_MAX < (
    ASSET_CHECK_MEMORY_BYTES_MAX
), "what may be uploaded can be checked"

# --- props in flight ---------------------------------------------------------------------
FLIGHTS_MAX = 256
"""Props that fly at the same time in one world."""
FLIGHT_S_MAX = 10.0
"""What has not come to rest after this is set down."""
THROW_M_PER_S_MAX = 15.0
"""What is thrown faster flies with this speed."""
THROWN_HALF_SIZE_M_MIN, THROWN_HALF_SIZE_M_MAX = 0.01, 5.0
"""Half the sides of what can be thrown: a larger one lies in many cells of the colliders' grid."""

assert THROW_M_PER_S_MAX <= RELEASE_M_PER_S_MAX

# --- accounts ----------------------------------------------------------------------------
HANDLE_CHARS_MIN = 3
HANDLE_CHARS_MAX = 32
PASSWORD_CHARS_MIN = 8
PASSWORD_CHARS_MAX = 128
PREFS_BYTES_MAX = 4_096
"""What a person's preferences may take, as JSON."""
PREFS_MAX = 64
DEVICE_CHARS_MAX = 100
"""What a program says of itself when somebody signs in with it."""
SIGN_IN_S_MAX = 30 * 86_400.0
"""A token holds this long unless it is refreshed."""
SIGN_IN_WHOLE_S_MAX = 180 * 86_400.0
"""After this the password is asked for again, however often the token was refreshed."""
GUEST_S_MAX = 86_400.0
GUEST_WHOLE_S_MAX = 7 * 86_400.0
SIGN_IN_KEPT_S = 30 * 86_400.0
"""How long a sign-in that has ended is remembered, with its address."""
SIGN_INS_PER_ACCOUNT_MAX = 32
"""At once; one more ends the one that was used the longest ago."""
SIGN_UPS_PER_ADDRESS_PER_S_MAX = 0.1
SIGN_UPS_PER_ADDRESS_BURST_MAX = 40
"""A class that signs up in the same minute, behind one router."""
SIGN_INS_PER_ADDRESS_PER_S_MAX = 1.0
SIGN_INS_PER_ADDRESS_BURST_MAX = 60
EXPORTS_PER_ACCOUNT_PER_S_MAX = 1 / 600
EXPORTS_PER_ACCOUNT_BURST_MAX = 3
PASSWORD_GUESSES_FREE_MAX = 5
"""Wrong passwords for one handle from one address before a wait is asked for."""
PASSWORD_WAIT_S_MAX = 900.0
"""The wait doubles with each further wrong password, up to this."""
PASSWORD_STRANGERS_PER_S_MAX = 1 / 60
"""Wrong passwords for one handle from all addresses that its owner never came from."""
PASSWORD_STRANGERS_BURST_MAX = 100
PASSWORDS_WAITING_MAX = 32
"""Passwords that wait to be checked; more are refused at once."""
IDENTITIES_KEPT_S = 5.0
"""How long what a token stands for is believed without asking again."""
IDENTITIES_KEPT_MAX = 10_000
IDENTITY_WORLDS_KEPT_MAX = 8
"""Worlds for which it is remembered what one sign-in may do there."""
IDENTITIES_ASKED_MAX = 200
"""Tokens that are looked up in one question."""
SIGN_INS_LOOKED_AFTER_MAX = 1_000
"""Sign-ins of live sessions that are looked up in one question."""
PASSWORDS_WAITING_EACH_MAX = 8
"""Passwords of one address, or of one account, that are checked or wait for it."""
PASSWORD_CHANGES_PER_ACCOUNT_PER_S_MAX = 1 / 60
PASSWORD_CHANGES_PER_ACCOUNT_BURST_MAX = 10
"""Password changes and deletions, those that failed included."""
REFRESHES_PER_SIGN_IN_PER_S_MAX = 1 / 60
REFRESHES_PER_SIGN_IN_BURST_MAX = 20
PREFS_PER_ACCOUNT_PER_S_MAX = 1.0
PREFS_PER_ACCOUNT_BURST_MAX = 60
NAMES_PER_ADDRESS_PER_S_MAX = 20.0
NAMES_PER_ADDRESS_BURST_MAX = 500
"""Names of guests that are looked up; a school behind one router comes in the same minute."""
NAMES_KEPT_S = 5.0
NAMES_KEPT_MAX = 10_000
"""Names of which it is remembered whether an account has them."""
ACCOUNT_RATES_KEPT_MAX = 10_000
"""Addresses and handles whose rates are remembered, of each kind."""

assert HANDLE_CHARS_MIN <= HANDLE_CHARS_MAX <= NAME_CHARS_MAX
assert SIGN_IN_S_MAX <= SIGN_IN_WHOLE_S_MAX
assert GUEST_S_MAX <= GUEST_WHOLE_S_MAX

# --- conduct and things ------------------------------------------------------------------
REASON_CHARS_MAX = 2_000
"""Of what a moderator or a reporter writes."""
CASE_EVIDENCE_BYTES_MAX = 262_144
"""The last minute of lines and places of those involved, as JSON."""
BANS_PER_ACTION_MAX = 8
SANCTION_S_MAX = 10 * 366 * 86_400.0
NETWORK_4_BITS_MIN = 8
NETWORK_6_BITS_MIN = 16
"""A ban of more than this is a slip."""
ITEM_KIND_CHARS_MAX = 64
ITEM_QUANTITY_MAX = 1_000_000_000
"""Of one stack."""
ITEM_PROPS_BYTES_MAX = 4_096
ITEM_SLOTS_MAX = 1_000
ITEMS_PER_INVENTORY_MAX = 500
"""Stacks that one owner has."""
ITEM_REASON_CHARS_MAX = 200

# --- the inference lane --------------------------------------------------------------------
LANE_QUEUE_ROWS_MAX = 8_192
"""Rows of all classes that may wait for the device; what is less urgent gives way."""
LANE_SLICE_S_MAX = 0.01
"""No batch of a class below the tick's own may be expected to take longer."""

# --- models --------------------------------------------------------------------------------
MODEL_FIELDS_MAX = 16
"""Inputs of a model, and as many outputs."""
MODEL_DIMENSIONS_MAX = 4
MODEL_ROW_NUMBERS_MAX = 1_048_576
"""In one row of one input or output: a picture of 512 by 512 in four channels."""
MODEL_BAG_NUMBERS_MAX = 65_536
"""In one row of a bag."""
MODEL_DOCUMENT_BYTES_MAX = 1_048_576
MODEL_FILES_MAX = 16
"""Of one version."""
MODEL_FILE_BYTES_MAX = 1_073_741_824
"""Larger ones do not fit into memory beside a world."""
MODEL_BYTES_MAX = 2 * MODEL_FILE_BYTES_MAX
"""All files of one version."""
MODEL_HEADER_BYTES_MAX = 1_048_576
"""Of a safetensors file: the names and shapes in it."""
MODEL_TENSORS_MAX = 4_096
MODEL_NAMES_MAX = 64
"""Models that a registry knows, by name."""
MODEL_VERSIONS_MAX = 1_000
"""Of one model."""
MODEL_WHY_CHARS_MAX = 500
"""Of the reason for a change of stage."""
MODEL_FIGURES_BYTES_MAX = 65_536
"""Of what was measured of one version, as JSON."""

AI_KEYS_MAX = 20
"""Of one account, in use at once."""
AI_KEY_NAME_CHARS_MAX = 64
AI_ROWS_PER_DAY_MAX = 10_000_000
"""That one key may ask."""
AI_KEYS_KNOWN_MAX = 4_096
"""That a server has in mind, with their quotas."""
AI_TEXTS_MAX = 64
"""Of one request."""
AI_TEXT_CHARS_MAX = 4_000
AI_DEADLINE_MS_MAX = 10_000
FEEDBACK_BODY_CHARS_MAX = 4_000
FEEDBACK_LABELS_MAX = 32
FEEDBACK_DAYS_MAX = 3_650
FEEDBACK_ROWS_MAX = 100_000
"""That are kept at once; more are refused until older ones have expired."""

assert MODEL_FILE_BYTES_MAX <= MODEL_BYTES_MAX

# --- moderation ----------------------------------------------------------------------------
MODERATION_WAITING_MAX = 8_192
"""Texts that may wait to be read by the rules; more are refused."""
MODERATION_CACHE_LINES_MAX = 16_384
"""Texts in normal form whose scores are remembered, some 300 bytes each."""
MODERATION_CONTEXTS_MAX = 4_096
"""Senders whose last lines are remembered."""
