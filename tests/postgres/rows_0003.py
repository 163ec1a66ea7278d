"""A row or more in every table as revision 0003 made them: what each later revision must keep.

Text and never changed: it says what such a database held, whatever the program says today.
"""

ACCOUNT = "01900000-0000-7000-8000-000000000001"
FRIEND = "01900000-0000-7000-8000-000000000002"
ENTITY = "01900000-0000-7000-8000-000000000010"
NPC = "01900000-0000-7000-8000-000000000020"
INVENTORY = "01900000-0000-7000-8000-000000000030"
SESSION = "01900000-0000-7000-8000-000000000040"
SIGN_IN = "01900000-0000-7000-8000-000000000050"
ROLE = "01900000-0000-7000-8000-000000000060"
CASE = "01900000-0000-7000-8000-000000000070"
ACTION = "01900000-0000-7000-8000-000000000080"
OTHER = "01900000-0000-7000-8000-0000000000ff"
HASH = "sha256('a model')"

ROWS = (
    f"""INSERT INTO account (id, handle, handle_key, password_hash, prefs) VALUES
        ('{ACCOUNT}', 'Ada', 'ada', '$argon2id$v=19$...', '{{"volume": 0.5}}'),
        ('{FRIEND}', 'Grace', 'grace', '$argon2id$v=19$...', '{{}}')""",
    f"""INSERT INTO sign_in (id, account_id, token_hash, spent_token_hash, expires_at, address)
        VALUES ('{SIGN_IN}', '{ACCOUNT}', sha256('token'), sha256('spent'), '2100-01-01',
        '2001:db8::1')""",
    f"""INSERT INTO sign_in (id, guest_name, token_hash, expires_at)
        VALUES ('{OTHER}', 'A guest', sha256('another'), '2100-01-01')""",
    f"INSERT INTO role (id, name, permissions) VALUES ('{ROLE}', 'builder', '{{world.edit}}')",
    f"""INSERT INTO world (slug, title, owner_account, settings, version, owner_epoch, owner_node)
        VALUES ('plaza', 'The plaza', '{ACCOUNT}', '{{"seed": 1}}', 7, 2, 'node-1')""",
    f"""INSERT INTO entity (id, world_id, kind, owner_account, px, py, pz, qx, qy, qz, qw,
        sx, sy, sz, model_hash, props, changed_in, changed_by) VALUES ('{ENTITY}', 1, 'model',
        '{ACCOUNT}', 1.5, 0, -2.25, 0, 0.7071068, 0, 0.7071068, 1, 2, 1, {HASH},
        '{{"title": "bench"}}', 7, '{ACCOUNT}')""",
    f"INSERT INTO entity_tombstone (world_id, version, entity_id) VALUES (1, 6, '{OTHER}')",
    f"""INSERT INTO world_edit (world_id, version, session, request_id, actor, op, entity_id,
        before, after) VALUES (1, 7, '{SESSION}', 3, '{ACCOUNT}', 'place', '{ENTITY}',
        '{{"px": 0}}', '{{"px": 1.5}}')""",
    f"""INSERT INTO avatar_pose (account_id, world_id, px, py, pz, qx, qy, qz, qw)
        VALUES ('{ACCOUNT}', 1, 1, 0, 1, 0, 0, 0, 1)""",
    f"""INSERT INTO session (id, account_id, sign_in_id, world_id, number, slot, rotation, state,
        last_request_id, client, seat_id, px, py, pz, qx, qy, qz, qw, posed_at, resumable_until)
        VALUES ('{SESSION}', '{ACCOUNT}', '{SIGN_IN}', 1, 4294967295, 0, 2, 'resumable', 3,
        '{{"name": "Ada"}}', '{ENTITY}', 1, 0, 1, 0, 0, 0, 1, now(), '2100-01-01')""",
    f"""INSERT INTO session (id, guest_name, sign_in_id, world_id, number)
        VALUES ('{OTHER}', 'A guest', '{OTHER}', 1, 5)""",
    f"""INSERT INTO role_grant (id, account_id, role_id, world_id, granted_by)
        VALUES ('{ROLE}', '{FRIEND}', '{ROLE}', 1, '{ACCOUNT}')""",
    f"""INSERT INTO asset (hash, media_type, size_bytes, uploader, state)
        VALUES ({HASH}, 'model/gltf-binary', 1234, '{ACCOUNT}', 'ready')""",
    f"""INSERT INTO npc (id, world_id, entity_id, name, definition)
        VALUES ('{NPC}', 1, '{ENTITY}', 'Gardener', '{{"mood": "calm"}}')""",
    f"""INSERT INTO npc_memory (id, npc_id, kind, importance, body, about_account, embedding)
        VALUES ('{OTHER}', '{NPC}', 'met', 0.5, 'Ada likes roses.', '{ACCOUNT}', '\\x00000000')""",
    f"""INSERT INTO model (id, name, revision, task, format, hash, size_bytes, licence, source)
        VALUES ('{OTHER}', 'judge', '1', 'moderation', 'onnx', {HASH}, 99, 'Apache-2.0', 'ours')""",
    f"""INSERT INTO inventory (id, account_id) VALUES ('{INVENTORY}', '{ACCOUNT}')""",
    f"""INSERT INTO inventory (id, npc_id) VALUES ('{OTHER}', '{NPC}')""",
    f"""INSERT INTO inventory_item (id, inventory_id, item_kind, quantity, slot)
        VALUES ('{OTHER}', '{INVENTORY}', 'rose', 3, 0)""",
    f"""INSERT INTO item_ledger (request_id, to_inventory, item_kind, quantity, reason)
        VALUES ('{OTHER}', '{INVENTORY}', 'rose', 3, 'a present')""",
    f"""INSERT INTO chat (id, at, world_id, channel, session, sender_account, sender_name, body)
        VALUES ('{OTHER}', now(), 1, 'world', '{SESSION}', '{ACCOUNT}', 'Ada', 'Hello'),
        ('{OTHER}', '1999-12-31', 1, 'world', '{SESSION}', NULL, 'Nobody', 'Too early')""",
    f"""INSERT INTO moderation_case (id, world_id, subject_account, subject_name,
        reporter_account, category, summary)
        VALUES ('{CASE}', 1, '{FRIEND}', 'Grace', '{ACCOUNT}', 'spam', 'Says the same again.')""",
    f"""INSERT INTO moderation_action (id, case_id, actor, subject_account, world_id, kind, reason)
        VALUES ('{ACTION}', '{CASE}', '{ACCOUNT}', '{FRIEND}', 1, 'ban', 'For an hour.')""",
    f"""INSERT INTO ban (id, subject_kind, subject, world_id, action_id, reason, ends_at)
        VALUES ('{OTHER}', 'account', '{FRIEND}', 1, '{ACTION}', 'Spam.', '2100-01-01')""",
    f"""INSERT INTO audit_log (actor, action, object_kind, object_id, data)
        VALUES ('{ACCOUNT}', 'ban', 'account', '{FRIEND}', '{{"reason": "Späm: \\u00e4"}}')""",
    """INSERT INTO audit_log (at, action) VALUES ('1999-12-31', 'backup')""",
    f"""INSERT INTO relation (account_id, person, name, relation) VALUES
        ('{ACCOUNT}', '{FRIEND}', 'Grace', 4), ('{FRIEND}', 'guest:{OTHER}', '', 3)""",
    f"""INSERT INTO model (id, name, revision, task, format, hash, size_bytes, licence, source,
        state, canary_share, live_rank) VALUES
        ('{ACCOUNT}', 'moderation', '1', 'text_head', 'safetensors', {HASH}, 9, 'Apache-2.0',
        'built-in', 'live', 0, 1), ('{FRIEND}', 'moderation', '2', 'text_head', 'safetensors',
        {HASH}, 9, 'Apache-2.0', 'published', 'canary', 0.05, 0)""",
    f"""INSERT INTO model_change (name, sequence, id, op, revision, actor, why, moves, figures)
        VALUES ('moderation', 1, '{OTHER}', 'adopt', '1', 'server', 'It came with Atrium.',
        '{{"moves": []}}', '{{}}')""",
    f"""INSERT INTO model_evaluation (model_id, subject, subject_hash, figures)
        VALUES ('{ACCOUNT}', 'chat-fixed', 'aa', '{{"roc_auc": 0.97}}')""",
    f"""INSERT INTO ai_key (id, key_hash, owner_account, name, rows_per_minute, rows_per_day)
        VALUES ('{OTHER}', sha256('key'), '{ACCOUNT}', 'My app', 60, 1000)""",
    f"""INSERT INTO feedback (id, source, task, body, labels, decision, model_version, account_id,
        has_consent, expires_at) VALUES ('{OTHER}', 'appeal', 'moderation', 'Hello',
        '{{"toxic": 0}}', 'block', 'moderation@1', '{ACCOUNT}', true, '2100-01-01')""",
)
