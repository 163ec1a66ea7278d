/** The entry of the world page: finds out what this browser can do, and begins. */

import { Account } from "./net/account.js";
import { tabStorage } from "./net/storage.js";
import { WorldPage } from "./page/world_page.js";
import { Stage } from "./render/stage.js";

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("world"));
const test = new URLSearchParams(location.search).has("test");
const stage = new Stage(canvas, { quality: "medium", test });
const account = new Account((url, asked) => fetch(url, asked), tabStorage);
const page = new WorldPage(stage, canvas, account);
stage.start();
if (test) Object.assign(window, { atriumTest: { page, model: page.model, stage } });
