// Bundles what pages load into dist/, and prints what each file costs on the wire.
// `--check`: fails where dist/ is not what the sources give, or a file is past its budget.
import { readFile, writeFile, mkdir } from "node:fs/promises";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

// The most that each may have, compressed by gzip -9. One byte more fails.
const budgets = JSON.parse(await readFile(new URL("budget.json", import.meta.url), "utf8"));
const check = process.argv.includes("--check");
const at = (name) => new URL(name, import.meta.url).pathname;

const common = {
  bundle: true,
  target: "es2022",
  write: false,
  legalComments: "none",
  charset: "utf8",
  mangleQuoted: false,
};
/** `import("./more")` stays one: of a file of its own. */
const apart = {
  name: "apart",
  setup: (build) => build.onResolve({ filter: /^\.\// }, ({ kind, path }) => (kind === "dynamic-import" ? { path: path + ".js", external: true } : undefined)),
};
const made = [];
for (const [name, options] of [
  ["ounce.js", { entryPoints: [at("src/index.ts")], format: "esm", plugins: [apart] }],
  ["more.js", { entryPoints: [at("src/more.ts")], format: "esm" }],
  ["grants.js", { entryPoints: [at("src/grants.ts")], format: "esm" }],
  ["levels.js", { entryPoints: [at("src/levels.ts")], format: "esm" }],
  ["worker.js", { entryPoints: [at("src/worker.ts")], format: "esm" }],
  ["shell.js", { entryPoints: [at("src/shell.ts")], format: "esm" }],
  ["prerender.js", { entryPoints: [at("src/prerender.ts")], format: "esm" }],
  // A script of an origin of its own cannot load modules of the page's.
  ["frame.js", { entryPoints: [at("src/frame.ts")], format: "iife" }],
]) {
  const { outputFiles } = await build({ ...common, ...options });
  // Smaller by 3 % than what esbuild makes by itself.
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3, unsafe_arrows: true }, format: { comments: false } });
  made.push([name, Buffer.from(code)]);
}
made.push(["frame.html", await readFile(at("src/frame.html"))]);

/** What a page of ordinary components loads in all. */
const TOGETHER = ["ounce.js", "grants.js"];
let together = 0;
let faults = 0;
await mkdir(at("dist"), { recursive: true });
for (const [name, bytes] of made) {
  const gzip = gzipSync(bytes, { level: 9 }).length;
  const brotli = brotliCompressSync(bytes).length;
  console.log(`${name}: ${bytes.length} bytes, ${gzip} by gzip, ${brotli} by brotli`);
  if (budgets[name] !== undefined && gzip > budgets[name]) {
    console.error(`error: ${name} has ${gzip} bytes compressed, and ${budgets[name]} is its budget`);
    faults++;
  }
  if (TOGETHER.includes(name)) together += gzip;
  const file = at("dist/" + name);
  if (!check) await writeFile(file, bytes);
  else if (!(await readFile(file).catch(() => Buffer.alloc(0))).equals(bytes)) {
    console.error(`error: dist/${name} is not what the sources give: npm run build`);
    faults++;
  }
}
if (together > budgets.together) {
  console.error(`error: ${TOGETHER.join(" and ")} have ${together} bytes compressed, and ${budgets.together} is their budget`);
  faults++;
}
process.exit(faults ? 1 : 0);
