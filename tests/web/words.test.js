/** The words: the same keys and gaps in each language, plurals, and what the page names. */

import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";

import { en } from "../../clients/web/src/lang/en.js";
import { zh } from "../../clients/web/src/lang/zh.js";
import {
  isWord, languageChanged, languageOf, languageTag, shownList, speak, words, wordsOf,
} from "../../clients/web/src/ui/words.js";
import { RULES } from "../../clients/web/src/core/settings_rules.js";
import { ReportReason } from "../../clients/web/src/core/protocol.generated.js";
import { GROUPS, wordOfChoice, wordOfSetting } from "../../clients/web/src/ui/settings_fields.js";

const WEB = new URL("../../clients/web/", import.meta.url);
const SOURCES = readdirSync(new URL("src/ui/", WEB)).map((name) => (
  readFileSync(new URL(`src/ui/${name}`, WEB), "utf8")));
const PAGE = readFileSync(new URL("index.html", WEB), "utf8");

const forms = (phrase) => (typeof phrase === "string" ? [phrase] : Object.values(phrase));
const gaps = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

afterEach(() => speak("en"));

describe("languages", () => {
  test("have the same keys", () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  test("have no empty phrase, and the same gaps in each form", () => {
    for (const key of Object.keys(en)) {
      const wanted = new Set(gaps(forms(en[key]).at(-1)));
      for (const form of [...forms(en[key]), ...forms(zh[key])]) {
        expect(form.trim(), key).not.toBe("");
        expect(new Set(gaps(form)), `${key}: ${form}`).toEqual(wanted);
      }
    }
  });

  test("have each plural form that their rules ask for", () => {
    for (const [tag, phrases] of [["en", en], ["zh", zh]]) {
      const wanted = new Intl.PluralRules(tag).resolvedOptions().pluralCategories;
      for (const [key, phrase] of Object.entries(phrases)) {
        if (typeof phrase === "string") continue;
        expect(Object.keys(phrase).sort(), key).toEqual([...wanted].sort());
      }
    }
  });

  test("are both told in Chinese characters and none of them in the other's", () => {
    const han = /\p{Script=Han}/u;
    for (const [key, phrase] of Object.entries(en)) {
      for (const form of forms(phrase)) expect(han.test(form), key).toBe(false);
    }
    const same = ["join.title", "key.enter", "key.shift"];
    for (const [key, phrase] of Object.entries(zh)) {
      if (same.includes(key) || /^[{}\w\s/（）：]*$/.test(forms(phrase)[0])) continue;
      for (const form of forms(phrase)) expect(han.test(form), key).toBe(true);
    }
  });
});

describe("words", () => {
  test("choose the plural by the count, and write numbers as the language does", async () => {
    expect(words("chat.unread", { count: 1 })).toBe("1 unread line");
    expect(words("chat.unread", { count: 1234 })).toBe("1,234 unread lines");
    await speak("zh");
    expect(words("chat.unread", { count: 1 })).toBe("1 条未读消息");
    expect(languageTag()).toBe("zh-Hans");
  });

  test("fill in what a stranger wrote as it is, and nothing in it", () => {
    const name = "{text} $& <b>";
    expect(words("chat.spoken", { name, text: "hi" })).toBe(`${name}: hi`);
    expect(words("chat.spoken", { name: "constructor" })).toBe("constructor: {text}");
  });

  test("tell that the language has changed", async () => {
    const heard = [];
    const remove = languageChanged.add((next) => heard.push(next));
    await speak("zh");
    remove();
    expect(heard).toEqual(["zh"]);
    expect(shownList(["甲", "乙"])).toBe("甲和乙");
  });

  test("a key that is none is no word, whatever it is called", () => {
    for (const key of ["", "toString", "__proto__", "join"]) {
      expect(isWord(key)).toBe(false);
      expect(wordsOf(key)).toBe("");
    }
  });

  test.each([
    ["auto", ["de", "zh-TW", "en"], "zh"], ["auto", ["de"], "en"], ["auto", [], "en"],
    ["zh", ["en"], "zh"], ["en", ["zh"], "en"], ["klingon", ["ZH-cn"], "zh"],
  ])("%s with %j is %s", (chosen, preferred, language) => {
    expect(languageOf(chosen, preferred)).toBe(language);
  });
});

describe("the page", () => {
  test("names no phrase that there is not", () => {
    const named = [...PAGE.matchAll(/data-words(?:-\w+)?="([^"]*)"/g)].map(([, key]) => key);
    expect(named.length).toBeGreaterThan(30);
    for (const key of named) expect(isWord(key), key).toBe(true);
  });

  test("has words for all settings and their choices", () => {
    const shown = GROUPS.flatMap(({ names }) => names);
    expect([...shown].sort()).toEqual(Object.keys(RULES).sort());
    for (const name of shown) {
      expect(isWord(wordOfSetting(name)), name).toBe(true);
      for (const choice of RULES[name].choices ?? []) {
        if (name === "language" && choice !== "auto") continue;
        expect(isWord(wordOfChoice(name, choice)), `${name} ${choice}`).toBe(true);
      }
    }
  });

  test("has words for all reasons of a report", () => {
    for (const reason of Object.values(ReportReason)) expect(isWord(`report.${reason}`)).toBe(true);
  });

  const FOLDERS = ["page", "core", "xr", "building"];

  test("says each phrase somewhere: none is left over", () => {
    const text = `${SOURCES.join("\n")}\n${PAGE}\n${FOLDERS.map((folder) => (
      readdirSync(new URL(`src/${folder}/`, WEB)).map((name) => (
        readFileSync(new URL(`src/${folder}/${name}`, WEB), "utf8"))).join("\n"))).join("\n")}`;
    const madeUp = new RegExp("^(emote|bearing|side|report|settings|choice|style|load|key|look|"
      + "link|xr.do|xr.phrase|build|piece|field|edit|state)\\.");
    const unused = Object.keys(en).filter((key) => !text.includes(key) && !madeUp.test(key)
      && key !== "chat.all");
    expect(unused).toEqual([]);
  });
});
