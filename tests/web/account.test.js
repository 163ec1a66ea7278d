/** Signing in, with a server and a storage of the test's own. */

import assert from "node:assert/strict";
import { test } from "vitest";

import { Account, Refusal } from "../../clients/web/src/net/account.js";

const TICKET = { token: "atrium_a_secret", name: "Ada", expires_in_s: 9, account: "1" };

class FakeStorage {
  kept = new Map();

  getItem(key) {
    return this.kept.get(key) ?? null;
  }

  setItem(key, value) {
    this.kept.set(key, value);
  }

  removeItem(key) {
    this.kept.delete(key);
  }
}

/** An account whose server gives these answers, one after the other, and what it was asked. */
function opened(...answers) {
  const asked = [];
  const storage = new FakeStorage();
  const account = new Account(async (url, request) => {
    asked.push({ url, ...request });
    const [status, content] = answers.shift() ?? [0];
    if (status === 0) throw new TypeError("network");
    const json = async () => (typeof content === "string" ? JSON.parse(content) : content);
    return { status, ok: status < 300, json };
  }, storage);
  return { account, asked, storage };
}

test("a password becomes a ticket that outlives a reload", async () => {
  const { account, asked, storage } = opened([201, TICKET]);
  await account.signIn("ada", "seven herons at dusk");
  assert.equal(account.token, TICKET.token);
  assert.equal(account.ticket.name, "Ada");
  const [{ url, method, headers, body, credentials }] = asked;
  assert.deepEqual([url, method, credentials], ["/api/sign-ins", "POST", "omit"]);
  assert.equal(headers["content-type"], "application/json");
  assert.deepEqual(JSON.parse(body), { handle: "ada", password: "seven herons at dusk" });
  assert.equal(new Account(null, storage).token, TICKET.token);
  assert.ok(![...storage.kept.values()].join().includes("herons"), "the password is not kept");
});

test("a new account is signed in", async () => {
  const { account, asked } = opened([201, TICKET]);
  await account.signUp("Ada", "seven herons at dusk");
  assert.equal(asked[0].url, "/api/accounts");
  assert.equal(account.token, TICKET.token);
});

test("a refusal is the server's sentence, or one that says to wait", async () => {
  const sentence = "The handle or the password is wrong.";
  const cases = [
    [[401, { code: "not_signed_in", sentence }], sentence],
    [[500, "<html>"], /does not answer/], [[502, null], /does not answer/],
    [[429, { sentence: 7 }], /does not answer/], [[0], /does not answer/],
    [[201, { token: 7 }], /not understood/], [[201, null], /not understood/],
  ];
  for (const [answer, message] of cases) {
    const { account, storage } = opened(answer);
    await assert.rejects(account.signIn("ada", "x"), (error) => {
      assert.ok(error instanceof Refusal);
      assert.equal(typeof error.code, "string");
      assert.match(error.message, message instanceof RegExp ? message : /wrong/);
      return true;
    });
    assert.equal(account.token, "");
    assert.equal(storage.kept.size, 0);
  }
});

test("signing out forgets at once, whether the server hears it or not", async () => {
  for (const answer of [[204], [401, {}], [0]]) {
    const { account, asked, storage } = opened([201, TICKET], answer);
    await account.signIn("ada", "x");
    const out = account.signOut();
    assert.equal(account.token, "");
    assert.equal(storage.kept.size, 0);
    await out;
    assert.equal(asked[1].headers.authorization, `Bearer ${TICKET.token}`);
  }
  const { account, asked } = opened();
  await account.signOut();
  assert.equal(asked.length, 0);
});

test("only a server that says so makes a ticket worthless", async () => {
  for (const [answer, holds] of [[[200, {}], true], [[503, {}], true], [[0], true],
    [[401, {}], false]]) {
    const { account } = opened([201, TICKET], answer);
    await account.signIn("ada", "x");
    assert.equal(await account.verify(), holds);
    assert.equal(account.token !== "", holds);
  }
});

test("what lies in the storage and is no ticket is nobody", () => {
  for (const text of ["", "{", "7", "null", '{"token": 7}', '{"token": "x"}']) {
    const storage = new FakeStorage();
    storage.setItem("atrium.ticket", text);
    assert.equal(new Account(null, storage).token, "");
  }
});
