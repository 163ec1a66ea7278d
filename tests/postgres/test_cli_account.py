"""`atrium account`: the first administrator, roles, resets; and no password anywhere but hashed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from atrium_server import cli_account
from atrium_server.accounts import passwords
from atrium_server.ai.tokens import hash_of

Answer = tuple[int, str, str]
PASSWORD, OTHER = "seven herons at dusk", "nine foxes before noon"


@pytest.fixture
def account(capsys, monkeypatch, database_url) -> Callable[..., Answer]:
    """`atrium account ARGUMENTS` with a line of input."""
    for name in [name for name in os.environ if name.startswith("ATRIUM_")]:
        monkeypatch.delenv(name)
    cheap = passwords.Cost(1, 8, 1)
    monkeypatch.setattr(passwords, "Cost", lambda: cheap)

    def run(*arguments: str, line: str = "") -> Answer:
        monkeypatch.setattr("sys.stdin", io.StringIO(line + "\n"))
        with pytest.raises(SystemExit) as caught:
            cli_account.app([*arguments, "--database-url", database_url])
        status = caught.value.code
        assert isinstance(status, int)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_first_administrator_and_what_they_need(account, postgres, database_url) -> None:
    status, out, err = account("create", "Chief", "--role", "admin", line=PASSWORD)
    assert (status, err) == (0, "")
    assert "Chief was made" in out
    kept = postgres.value(database_url, "SELECT password_hash FROM account")
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in out
    assert account("grant", "chief", "builder", "--world", "nowhere")[0] == 1
    postgres.run(database_url, "INSERT INTO world (slug, title) VALUES ('plaza', '')")
    assert "now" in account("grant", "CHIEF", "builder", "--world", "plaza")[1]
    assert "already" in account("grant", "chief", "builder", "--world", "plaza")[1]
    listed = account("list")[1]
    assert "Chief" in listed
    assert listed.rstrip().endswith("admin builder@plaza member")
    assert account("list", "--after", "chief")[1] == ""
    assert account("revoke", "chief", "builder", "--world", "plaza")[0] == 0
    assert account("revoke", "chief", "builder", "--world", "plaza")[0] == 1
    status, out, _ = account("reset-password", "chief", line=OTHER)
    assert (status, "another password" in out) == (0, True)
    assert postgres.value(database_url, "SELECT password_hash FROM account") != kept
    actors = postgres.value(
        database_url, "SELECT string_agg(DISTINCT actor, ' ' ORDER BY actor) FROM audit_log"
    )
    assert actors == "cli server"


@pytest.mark.parametrize(
    ("arguments", "line", "status", "told"),
    [
        (("create", "Ada"), "password1", 1, "first that are guessed"),
        (("create", "a'; --"), PASSWORD, 1, "A handle has"),
        (("create", "Ada", "--role", "king"), PASSWORD, 1, "no role 'king'"),
        (("create", "Ada"), "", 2, "no password"),
        (("grant", "Ada", "admin"), "", 1, "no account 'Ada'"),
        (("reset-password", "Ada"), PASSWORD, 1, "no account 'Ada'"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    account, postgres, database_url, arguments, line, status, told
) -> None:
    done, out, err = account(*arguments, line=line)
    assert (done, out) == (status, "")
    assert told in err
    assert err.count("\n") == 1
    assert postgres.value(database_url, "SELECT count(*) FROM account") == 0


def test_keys_of_apps_are_made_listed_and_revoked(account, postgres, database_url) -> None:
    account("create", "Ada", line=PASSWORD)
    status, key, err = account("key", "create", "ada", "greeter bot", "--per-minute", "30")
    assert (status, err) == (0, "")
    assert hash_of(key.strip()) is not None
    kept = postgres.value(database_url, "SELECT key_hash FROM ai_key")
    assert key.strip() not in str(kept)
    listed = account("key", "list", "ADA")[1]
    assert "greeter bot" in listed
    assert "30/min" in listed
    assert "used never" in listed
    number = listed.split()[0]
    assert account("key", "revoke", "ada", number)[0] == 0
    assert account("key", "revoke", "ada", number)[0] == 1
    assert "revoked" in account("key", "list", "ada")[1]
    status, _, err = account("key", "create", "nobody", "x")
    assert (status, bool(err)) == (1, True)
    status, _, err = account("key", "create", "ada", "x", "--per-minute", "9", "--per-day", "5")
    assert (status, "not more in a minute than in a day" in err) == (1, True)
