/** What others wrote: addresses found with care, names, the window of lines, the history. */

import { describe, expect, test } from "vitest";

import { ChatChannel } from "../../clients/web/src/core/protocol.generated.js";
import { charactersOf, ChatWindow, History } from "../../clients/web/src/ui/chat_window.js";
import { findLinks, safeAddress } from "../../clients/web/src/ui/links.js";
import { completed, completion, findMentions } from "../../clients/web/src/ui/mentions.js";

const linksOf = (text) => findLinks(text).filter(({ address }) => address);
const joined = (parts) => parts.map(({ text }) => text).join("");

describe("addresses", () => {
  test.each([
    ["see https://example.com/a?b=c#d now", "https://example.com/a?b=c#d"],
    ["(http://example.com/a_(b))", "http://example.com/a_(b)"],
    ["ends here: https://example.com/x.", "https://example.com/x"],
    ["看 https://example.com/路，好", "https://example.com/%E8%B7%AF"],
    ["HTTPS://EXAMPLE.COM", "https://example.com/"],
    ["https://münchen.example/", "https://xn--mnchen-3ya.example/"],
  ])("%s", (text, address) => {
    const [link] = linksOf(text);
    expect(link.address).toBe(address);
    expect(joined(findLinks(text))).toBe(text);
  });

  test.each([
    "javascript:alert(1)", "data:text/html,<script>", "JaVaScRiPt://https:alert(1)",
    "https://good.example@evil.example/", "https://user:secret@evil.example/",
    "ftp://example.com/", "//example.com/", "www.example.com", "https://", "https:// x",
    "blob:https://example.com/1", "file:///etc/passwd", "https://exa\u202emple.com/moc",
    "https://example.com/\u200bhidden", `https://example.com/${"a".repeat(500)}`,
    "https://[not-an-address/", "https://example.com:99999/",
  ])("%s is no link", (text) => {
    expect(linksOf(text)).toEqual([]);
    expect(joined(findLinks(text))).toBe(text);
  });

  test("a quote or a bracket ends an address, so that none breaks out of where it stands", () => {
    const [quote] = linksOf('https://example.com/"onclick=alert(1)');
    const [bracket] = linksOf("https://example.com/<b>");
    expect([quote.address, bracket.address]).toEqual(Array(2).fill("https://example.com/"));
  });

  test("of a flood of addresses only the first become links, and no text is lost", () => {
    const text = "https://a.example/ ".repeat(60);
    expect(linksOf(text).length).toBeLessThanOrEqual(9);
    expect(joined(findLinks(text))).toBe(text);
  });

  test("any text comes out whole, and what is a link is http", () => {
    const pieces = ["https://", "http:", "//", "a.example", "@", "(", ")", ".", " ", "\u202e", "路",
      "\ud83d", "%", "?x=", "#", "javascript:", "\n", "😀", "[", "]"];
    let state = 7;
    for (let round = 0; round < 2_000; round++) {
      let text = "";
      for (let k = 0; k < 9; k++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        text += pieces[(state >>> 16) % pieces.length];
      }
      expect(joined(findLinks(text))).toBe(text);
      for (const { address } of linksOf(text)) expect(address).toMatch(/^https?:\/\/[^@/]+\//);
    }
  });

  test("an empty text is one empty part", () => {
    expect(findLinks("")).toEqual([{ text: "", address: "" }]);
    expect(safeAddress("")).toBe("");
  });
});

describe("names", () => {
  const names = ["Ada", "Ada Lovelace", "Mei", "李雷", "a+b"];

  test("the longest name that stands there counts, whatever the case", () => {
    const parts = findMentions("hi @ada lovelace, @MEI!", names);
    expect(parts.filter(({ name }) => name).map(({ text, name }) => [text, name]))
      .toEqual([["@ada lovelace", "Ada Lovelace"], ["@MEI", "Mei"]]);
    expect(joined(parts)).toBe("hi @ada lovelace, @MEI!");
  });

  test.each(["mail me@Ada.example", "@Adam", "@ Ada", "@", "Ada", "@Ada9", "@Meiß", "@Ada\u0301"])(
    "%s speaks to nobody", (text) => {
      expect(findMentions(text, names)).toEqual([{ text, name: "" }]);
    });

  test("names of any letters, and such as mean something to patterns", () => {
    expect(findMentions("@李雷，你好", names)[0]).toEqual({ text: "@李雷", name: "李雷" });
    expect(findMentions("@a+b", names)[0].name).toBe("a+b");
  });

  test("while typing, names that begin so are offered, the shortest first", () => {
    expect(completion("hello @a", 8, names)).toEqual({ from: 6, names: ["Ada", "a+b",
      "Ada Lovelace"] });
    expect(completion("hello @Ada L", 12, names)?.names).toEqual(["Ada Lovelace"]);
  });

  test.each([["hello", 5], ["me@a", 4], ["@zzz", 4], ["@Mei", 4], ["@a", 0], ["", 0]])(
    "%j at %d offers nothing", (text, caret) => {
      expect(completion(text, caret, names)).toBeNull();
    });

  test("taking one puts the caret behind it and keeps what follows", () => {
    expect(completed("hi @a there", 5, 3, "Ada")).toEqual({ text: "hi @Ada there", caret: 8 });
  });
});

describe("the window of lines", () => {
  let keys = 0;
  const line = (more = {}) => ({ key: ++keys, seq: keys, channel: ChatChannel.WORLD, senderId: 2,
    senderName: "Mei", text: "hi", state: "published", reason: "", isOwn: false, target: 0,
    serverMs: 1, ...more });

  test("holds the last lines, and more when asked", () => {
    const window = new ChatWindow();
    const lines = Array.from({ length: 200 }, () => line());
    expect(window.visible(lines)).toMatchObject({ hasEarlier: true });
    expect(window.visible(lines).lines.at(-1)).toBe(lines.at(-1));
    const few = window.visible(lines).lines.length;
    window.earlier();
    expect(window.visible(lines).lines.length).toBe(2 * few);
    window.seen();
    expect(window.visible(lines).lines.length).toBe(few);
  });

  test("lines of others that were not seen are unread, each once", () => {
    const window = new ChatWindow();
    const first = line();
    expect(window.take(first, false)).toBe(true);
    expect(window.take(first, false)).toBe(false);
    window.take(line({ isOwn: true }), false);
    window.take(line(), true);
    expect(window.unreadCount).toBe(1);
    window.take({ ...first, state: "retracted" }, false);
    expect(window.unreadCount).toBe(0);
  });

  test("who wants no chat of strangers hears only what is said to them and what they say", () => {
    const window = new ChatWindow();
    window.from = "nearby";
    const lines = [line(), line({ channel: ChatChannel.NEARBY }),
      line({ channel: ChatChannel.DIRECT }), line({ isOwn: true })];
    expect(window.visible(lines).lines).toEqual(lines.slice(1));
    window.from = "nobody";
    expect(window.visible(lines).lines).toEqual(lines.slice(2));
    expect(window.take(line(), false)).toBe(false);
    window.from = "everyone";
    window.shown = "direct";
    expect(window.visible(lines).lines).toEqual([lines[2]]);
  });

  test("characters are counted as the wire counts them", () => {
    expect(charactersOf("a😀é")).toBe(3);
  });

  test("the arrow keys bring back what was said, and at the end what was being written", () => {
    const history = new History();
    history.add("one");
    history.add("two");
    history.add("two");
    expect(history.move(-1, "draft")).toBe("two");
    expect(history.move(-1, "two")).toBe("one");
    expect(history.move(-1, "one")).toBe("one");
    expect(history.move(1, "one")).toBe("two");
    expect(history.move(1, "two")).toBe("draft");
  });
});
