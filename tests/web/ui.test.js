/** The log of the chat, over as much of a document as it touches. */

import assert from "node:assert/strict";
import { test } from "vitest";

class Node extends EventTarget {
  children = [];
  dataset = {};
  parent = null;
  hidden = false;
  textContent = "";
  className = "";
  scrollTop = 0;
  clientHeight = 0;
  scrollHeight = 0;
  #classes = new Set();
  classList = {
    add: (name) => this.#classes.add(name),
    remove: (name) => this.#classes.delete(name),
    contains: (name) => this.#classes.has(name),
    toggle: (name, on) => (on ? this.#classes.add(name) : this.#classes.delete(name)),
  };

  get childElementCount() {
    return this.children.length;
  }

  get firstElementChild() {
    return this.children[0];
  }

  append(...nodes) {
    for (const node of nodes) {
      node.parent = this;
      this.children.push(node);
    }
  }

  remove() {
    this.parent.children = this.parent.children.filter((each) => each !== this);
  }

  querySelector(selector) {
    return this.children.find((each) => `.${each.className}` === selector) ?? null;
  }

  setAttribute() {}
}

const KINDS = ["HTMLElement", "HTMLOListElement", "HTMLUListElement", "HTMLParagraphElement",
  "HTMLDialogElement", "HTMLInputElement", "HTMLSelectElement", "HTMLButtonElement",
  "HTMLFormElement"];
for (const kind of KINDS) globalThis[kind] = Node;
globalThis.window = { innerWidth: 1000 };

const { ChatChannel, Op } = await import("../../clients/web/src/core/protocol.generated.js");
const { Ui } = await import("../../clients/web/src/map/ui.js");

function opened() {
  const nodes = new Map();
  globalThis.document = {
    body: new Node(),
    getElementById: (id) => nodes.get(id) ?? nodes.set(id, new Node()).get(id),
    createElement: () => new Node(),
  };
  return { ui: new Ui(), log: document.getElementById("chat-log") };
}

function said(chat_seq, text) {
  return { op: Op.ChatPublished, chat_seq, channel: ChatChannel.WORLD, sender_id: 9,
    sender_name: "Bob", text, server_ms: 0 };
}

function textsOf(log) {
  return log.children.map((item) => item.querySelector(".text")?.textContent ?? "")
    .filter(Boolean);
}

test("a line that comes twice is shown once", () => {
  const { ui, log } = opened();
  ui.published(said(1, "hello"), false);
  ui.published(said(1, "hello"), false);
  assert.deepEqual(textsOf(log), ["hello"]);
});

test("a new chat takes numbers that the old one has used", () => {
  const { ui, log } = opened();
  ui.published(said(1, "before"), false);
  ui.newChat();
  ui.published(said(1, "after"), false);
  assert.deepEqual(textsOf(log), ["before", "after"]);
  ui.retract(1);
  assert.deepEqual(textsOf(log), ["before", "taken back"]);
});

test("a new chat gives up the lines that no server will answer", () => {
  const { ui, log } = opened();
  ui.addPending(7, "Ada", ChatChannel.WORLD, "is anybody there?");
  ui.newChat();
  const [item] = log.children;
  assert.equal(item.classList.contains("pending"), false);
  assert.equal(item.classList.contains("gone"), true);
  // The same words in the new chat are another line.
  ui.published(said(1, "is anybody there?"), true);
  assert.equal(textsOf(log).length, 2);
});

test("the first chat begins without a word", () => {
  const { ui, log } = opened();
  ui.newChat();
  assert.equal(log.childElementCount, 0);
});
