/**
 * Makes `vendor/`: third-party code as a few ready ES modules, so that nobody who runs, installs or
 * reads Atrium needs Node.
 *
 *     npm ci && node vendor.mjs            write them anew
 *     npm ci && node vendor.mjs --check    fail when they are not what would be written
 *
 * Anew is needed after an upgrade in package.json, and when a module imports a name of three that
 * none did before.
 *
 * Versions come from package-lock.json and nowhere else. `three.js` holds what of three is imported
 * anywhere, in `src` or in the other modules, and a fifth of it less to load for that; the others
 * import it by a relative path, so that there is one three in the page and no import map is needed.
 * Beside each module lie its licence and a `.d.ts` that tells the type checker where its types are.
 */

import { existsSync } from "node:fs";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";

const FOLDER = new URL("./vendor/", import.meta.url);

/** Modules to make: what they export, and the packages that are in them. */
const MODULES = [
  {
    name: "three",
    source: "", // found out: see namesOfThree
    types: 'export * from "three";',
    packages: ["three"],
  },
  {
    name: "gltf",
    source: `export { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
      export { clone as cloneSkinned } from "three/examples/jsm/utils/SkeletonUtils.js";`,
    types: `export { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
export { clone as cloneSkinned } from "three/examples/jsm/utils/SkeletonUtils.js";`,
    packages: ["three"],
  },
  {
    name: "gizmo",
    source: 'export { TransformControls } from "three/examples/jsm/controls/TransformControls.js";',
    types: 'export { TransformControls } from "three/examples/jsm/controls/TransformControls.js";',
    packages: ["three"],
  },
  {
    name: "vrm",
    source: 'export { VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";',
    types: 'export { VRM, VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";',
    packages: ["@pixiv/three-vrm"],
  },
];

/** `three` itself is never bundled into another module. */
const threeBeside = {
  name: "three-beside",
  /** @param {import("esbuild").PluginBuild} plan */
  setup(plan) {
    plan.onResolve({ filter: /^three$/ }, ({ importer, kind }) => (
      kind === "entry-point" || importer === "three.entry.js"
        ? undefined : { path: "./three.js", external: true }));
  },
};

/** @param {{name: string, source: string}} module */
async function bundle({ name, source }) {
  const made = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname, sourcefile: `${name}.entry.js` },
    bundle: true, format: "esm", target: "es2022", minify: true, write: false,
    legalComments: "none", plugins: name === "three" ? [] : [threeBeside],
  });
  return made.outputFiles[0].text;
}

const IMPORTS = /(?<!@)import\s*\{([^}]*)\}\s*from\s*"[./]*(?:vendor\/)?three\.js"/g;
const WHOLE = /import\s*\*\s*as\s+([\w$]+)\s+from\s*"[./]*(?:vendor\/)?three\.js"/g;

/**
 * The names of three that a module uses.
 * @param {string} text
 * @returns {string[]}
 */
function namesOfThree(text) {
  const names = [...text.matchAll(IMPORTS)].flatMap(([, list]) => (
    list.split(",").map((each) => each.trim().split(/\s+as\s+/)[0])));
  for (const [, whole] of text.matchAll(WHOLE)) {
    const use = new RegExp(`(?<![\\w$.])${whole.replaceAll("$", "\\$")}\\.(\\w+)`, "g");
    names.push(...[...text.matchAll(use)].map(([, name]) => name));
  }
  return names.filter(Boolean);
}

/** What `three.js` exports. @param {Iterable<string>} others the modules beside it */
async function sourceOfThree(others) {
  const source = new URL("./src/", import.meta.url);
  const paths = (await readdir(source, { recursive: true })).filter((each) => each.endsWith(".js"));
  const texts = await Promise.all(paths.map((path) => readFile(new URL(path, source), "utf8")));
  const names = new Set([...texts, ...others].flatMap(namesOfThree));
  // Comments name types as well, which the type checker knows and three itself does not have.
  const there = Object.keys(await import("three")).filter((name) => names.has(name));
  return `export { ${there.sort().join(", ")} } from "three";`;
}

/** Where a package lies: in the nearest node_modules that has it. @param {string} name */
function folderOf(name) {
  const places = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const found = places.map((each) => join(each, name)).find((each) => existsSync(each));
  if (!found) throw new Error(`${name} is not installed. Run: npm ci`);
  return found;
}

/** @param {string} name */
async function licenceOf(name) {
  const folder = folderOf(name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = await readFile(join(folder, file), "utf8");
  return `${name} ${version} (${license})\n\n${text.trim()}\n`;
}

/** All files of the folder, by name. */
async function render() {
  /** @type {Map<string, string>} */
  const files = new Map();
  const [three, ...others] = MODULES;
  for (const module of others) files.set(`${module.name}.js`, await bundle(module));
  files.set("three.js", await bundle({ ...three, source: await sourceOfThree(files.values()) }));
  for (const module of MODULES) {
    files.set(`${module.name}.d.ts`, `${module.types}\n`);
    const licences = await Promise.all(module.packages.map(licenceOf));
    files.set(`${module.name}.LICENSE.txt`, licences.join("\n"));
  }
  return files;
}

/** @param {Map<string, string>} files @returns {Promise<string[]>} names of those that differ */
async function differing(files) {
  const present = new Set(await readdir(FOLDER));
  const wrong = [...present].filter((name) => !files.has(name));
  for (const [name, text] of files) {
    const same = present.has(name) && await readFile(new URL(name, FOLDER), "utf8") === text;
    if (!same) wrong.push(name);
  }
  return wrong;
}

const files = await render();
if (process.argv.includes("--check")) {
  const wrong = await differing(files);
  if (wrong.length) {
    console.error("vendor/ is not what package-lock.json and the imports of three say: "
      + `${wrong.join(", ")}. `
      + "Run: npm ci && node vendor.mjs");
    process.exitCode = 1;
  }
} else {
  for (const [name, text] of files) await writeFile(new URL(name, FOLDER), text);
  console.log([...files].filter(([name]) => name.endsWith(".js"))
    .map(([name, text]) => `${name} ${Math.round(text.length / 1024)} kB`).join("\n"));
}
