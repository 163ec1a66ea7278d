/**
 * How the tests of the page's modules are run. They lie with all other tests, in `tests/web`, and
 * the packages that they need are installed here; so whatever a test imports by a bare name is
 * looked up as though this folder had asked for it. (Vitest has its own way to find itself.)
 */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const HERE = fileURLToPath(import.meta.url);
const TESTS = fileURLToPath(new URL("../../tests/web", import.meta.url));
const BARE = /^[@a-z]/;

const packagesOfThePage = {
  name: "packages-of-the-page",
  enforce: /** @type {const} */ ("pre"),
  /**
   * @this {import("vite").Rollup.PluginContext}
   * @param {string} name
   * @param {string | undefined} importer
   */
  resolveId(name, importer) {
    const ours = BARE.test(name) && !name.startsWith("node:") && importer?.startsWith(TESTS);
    return ours ? this.resolve(name, HERE, { skipSelf: true }) : null;
  },
};

export default defineConfig({
  root: TESTS,
  plugins: [packagesOfThePage],
  test: {
    include: ["**/*.test.js"],
    environment: "node",
    maxWorkers: 2,
    // A run leaves nothing behind, and says the same whatever ran before it.
    cache: false,
    // Nothing is waited for by time; this ends what hangs.
    testTimeout: 30_000,
    restoreMocks: true,
    unstubGlobals: true,
  },
});
