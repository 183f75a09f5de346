// Bundles the front end. One pass of esbuild, under a second:
//   ../static/widget.js, run.css   the anywidget of the notebook
//   ../static/view.js              a recorded run in any page (exports)
//   ../labextension/               the prebuilt JupyterLab extension
//   build/tests/                   with --tests: the unit tests, for `node --test`
//
// JupyterLab loads a prebuilt extension as a module-federation container. Such a container has two functions, init and
// get, so it is written out here instead of bringing webpack and its 300 packages: JupyterLab's own packages are taken
// from the share scope that it hands to `init`, everything else is in the bundle.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const statics = join(here, "..", "static");
const lab = join(here, "..", "labextension");
const manifest = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const SHARED = /^(@jupyterlab|@lumino|@jupyter-widgets)\/|^react(-dom)?$/;
const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", charset: "utf8", absWorkingDir: here, logLevel: "warning" };

const shared = new Set();
const fromJupyterLab = {
  name: "from-jupyterlab",
  setup(to) {
    to.onResolve({ filter: SHARED }, ({ path }) => {
      shared.add(path);
      return { path, namespace: "shared" };
    });
    to.onLoad({ filter: /.*/, namespace: "shared" }, ({ path }) => ({
      contents: `module.exports = __shared[${JSON.stringify(path)}];`,
      loader: "js",
    }));
  },
};

async function buildExtension() {
  const { outputFiles } = await build({
    ...common, entryPoints: ["src/lab/index.ts"], format: "cjs", write: false, loader: { ".svg": "text", ".css": "text" }, plugins: [fromJupyterLab],
  });
  const code = outputFiles[0].text;
  const container = `"use strict";(() => {
const names = ${JSON.stringify([...shared].sort())};
let scope;
const newest = (versions) => Object.entries(versions).sort(([a, x], [b, y]) =>
  Number(Boolean(x.loaded)) - Number(Boolean(y.loaded)) || a.localeCompare(b, undefined, { numeric: true })).at(-1)[1];
const load = async (name) => {
  if (!scope[name]) throw new Error("JupyterLab does not share " + name);
  return (await newest(scope[name]).get())();
};
let made;
const make = async () => {
  const __shared = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await load(name)])));
  const module = { exports: {} };
  (function (module, exports, __shared) {
${code}
  })(module, module.exports, __shared);
  return module.exports;
};
(window._JUPYTERLAB ??= {})[${JSON.stringify(manifest.name)}] = {
  init: (given) => { scope = given; },
  get: async (wanted) => {
    if (wanted !== "./extension") throw new Error("There is no " + wanted);
    made ??= make();
    const exports = await made;
    return () => exports;
  },
};
})();
`;
  const hash = createHash("sha256").update(container).digest("hex").slice(0, 16);
  rmSync(lab, { recursive: true, force: true });
  mkdirSync(join(lab, "static"), { recursive: true });
  writeFileSync(join(lab, "static", `remoteEntry.${hash}.js`), container);
  cpSync(join(here, "schema"), join(lab, "schemas", manifest.name), { recursive: true });
  const { name, version, description, license, jupyterlab } = manifest;
  const described = {
    name, version, description, license,
    jupyterlab: { ...jupyterlab, _build: { load: `static/remoteEntry.${hash}.js`, extension: "./extension" } },
  };
  writeFileSync(join(lab, "package.json"), JSON.stringify(described, null, 2) + "\n");
  writeFileSync(join(lab, "install.json"), JSON.stringify({
    packageManager: "python", packageName: manifest.name, uninstallInstructions: `Use pip: pip uninstall ${manifest.name}`,
  }, null, 2) + "\n");
}

async function buildStatics() {
  mkdirSync(statics, { recursive: true });
  await build({ ...common, entryPoints: ["src/widget.ts"], format: "esm", outfile: join(statics, "widget.js") });
  await build({ ...common, entryPoints: ["src/static.ts"], format: "iife", outfile: join(statics, "view.js") });
  await build({ ...common, entryPoints: ["style/run.css"], outfile: join(statics, "run.css") });
}

// What the sources are, as one number; workbench/front_end.py computes the same and builds again when it differs.
function fingerprint() {
  const files = ["build.mjs", "package.json", "yarn.lock"];
  for (const folder of ["src", "style", "schema"]) {
    for (const entry of readdirSync(join(here, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(relative(here, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
    }
  }
  const hash = createHash("sha256");
  for (const file of files.sort()) hash.update(`${file}\n`).update(readFileSync(join(here, file)));
  return hash.digest("hex");
}

async function buildTests() {
  const out = join(here, "build", "tests");
  rmSync(out, { recursive: true, force: true });
  const entryPoints = readdirSync(join(here, "test")).filter((name) => name.endsWith(".ts")).map((name) => `test/${name}`);
  await build({ ...common, minify: false, entryPoints, outdir: out, format: "esm", platform: "node", outExtension: { ".js": ".mjs" } });
}

if (process.argv.includes("--tests")) {
  await buildTests();
} else {
  await Promise.all([buildStatics(), buildExtension()]);
  writeFileSync(join(statics, "built-from.txt"), fingerprint() + "\n");
}
