// Measures in headless Chromium: js-framework-benchmark's keyed operations beside peers, and what
// loading, further instances and switching cost. Writes one JSON document to the file it is given.
//   node bench/run.mjs FILE [ROUNDS] [NAME=FOLDER…]
// A folder has a peer that was built elsewhere: `index.js`, a module that fills the page's table.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { EXAMPLES, moduleIn, SITE } from "../components.mjs";

const [file, rounds_, ...built] = process.argv.slice(2);
const ROUNDS = +(rounds_ ?? 30);
const WARM = 3;
const at = (name) => fileURLToPath(new URL(name, import.meta.url));
const FOLDER = at("../target/bench/");
const PEERS = ["vanilla", "preact", "lit"];
const FRAMEWORKS = built.map((one) => one.split("="));
const CONTENDERS = ["ounce", ...PEERS, ...FRAMEWORKS.map(([name]) => name)];
/** Microtasks that are waited for: some frameworks do their work there, each in its turn. */
const TURNS = 32;
const TYPES = { html: "text/html", js: "text/javascript", json: "application/json", wasm: "application/wasm", css: "text/css" };

const BUTTONS = ["run", "runlots", "add", "update", "clear", "swaprows"].map((id) => `<button id="${id}">${id}</button>`).join("");
const page = (script, inside) =>
  `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="style.css"><script type="module" src="${script}"></script>${inside}`;

await rm(FOLDER, { recursive: true, force: true });
await mkdir(FOLDER, { recursive: true });
await cp(SITE, FOLDER, { recursive: true });
await writeFile(FOLDER + "style.css", "td{padding:8px;border-top:1px solid #ddd}tr.danger{background:#f2dede}");
await writeFile(FOLDER + "ounce.html", page("ounce.js", '<ounce-component src="table.json" time="60000" memory="268435456"></ounce-component>'));
const sizes = { ounce: gzipSync(await readFile(FOLDER + "ounce.js"), { level: 9 }).length + gzipSync(await moduleIn(SITE, "table"), { level: 9 }).length };
for (const name of PEERS) {
  const { outputFiles } = await build({ entryPoints: [at(name + ".ts")], bundle: true, minify: true, format: "esm", target: "es2022", write: false, define: { "process.env.NODE_ENV": '"production"' }, conditions: ["production"] });
  await writeFile(FOLDER + name + ".js", outputFiles[0].contents);
  await writeFile(FOLDER + name + ".html", page(name + ".js", `${BUTTONS}<table><tbody></tbody></table>`));
  sizes[name] = gzipSync(outputFiles[0].contents, { level: 9 }).length;
}
for (const [name, folder] of FRAMEWORKS) {
  await cp(folder, FOLDER + name, { recursive: true });
  await writeFile(FOLDER + name + ".html", page(name + "/index.js", `${BUTTONS}<table><tbody></tbody></table>`));
  const files = (await readdir(folder, { recursive: true })).filter((one) => /\.(js|wasm)$/.test(one));
  sizes[name] = 0;
  for (const one of files) sizes[name] += gzipSync(await readFile(join(folder, one)), { level: 9 }).length;
}
await writeFile(FOLDER + "blank.html", page("ounce.js", "<main></main>"));

/** A page that shares nothing with others has a clock of 5 µs in place of 100; and what is loaded is loaded. */
const HEADERS = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cache-control": "no-store",
};
const server = createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  try {
    const bytes = await readFile(join(FOLDER, path));
    response.writeHead(200, { ...HEADERS, "content-type": TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}/`;
const profile = await mkdtemp(join(tmpdir(), "ounce-bench-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  timeout: 120_000,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--js-flags=--expose-gc"],
});
context.setDefaultTimeout(120_000);

/** Before: what makes the page ready, clicks by id; then what is measured. */
const OPERATIONS = [
  ["create 1,000", ["clear"], "#run"],
  ["replace 1,000", ["run"], "#run"],
  ["update every 10th", ["run"], "#update"],
  ["select", ["run"], "tbody tr:nth-child(5) .lbl"],
  ["swap two", ["run"], "#swaprows"],
  ["remove one", ["run"], "tbody tr:nth-child(5) .remove span"],
  ["create 10,000", ["clear"], "#runlots"],
  ["append 1,000", ["run"], "#add"],
  ["clear 1,000", ["run"], "#clear"],
];

const pages = {};
for (const name of CONTENDERS) {
  pages[name] = await context.newPage();
  await pages[name].goto(origin + name + ".html");
  await pages[name].waitForSelector("#run");
  // Ready when it does what it is told.
  await pages[name].waitForFunction(() => {
    document.getElementById("run").click();
    return document.querySelectorAll("tbody tr").length === 1000;
  });
}

/** One sample: script and layout, in milliseconds. */
const sample = async ([before, what, turns]) => {
  const done = async () => {
    for (let turn = 0; turn < turns; turn++) await null;
  };
  for (const id of before) document.getElementById(id).click();
  await done();
  const target = document.querySelector(what);
  void document.body.offsetHeight;
  globalThis.gc();
  const began = performance.now();
  target.dispatchEvent(new MouseEvent("click", { bubbles: true, composed: true }));
  await done();
  const scripted = performance.now();
  void document.body.offsetHeight;
  return { script: scripted - began, total: performance.now() - began };
};

const samples = {};
for (let round = -WARM; round < ROUNDS; round++) {
  for (const [operation, before, what] of OPERATIONS) {
    // Turned each round: nobody is always first.
    for (let turn = 0; turn < CONTENDERS.length; turn++) {
      const name = CONTENDERS[(turn + round + WARM) % CONTENDERS.length];
      await pages[name].bringToFront();
      const taken = await pages[name].evaluate(sample, [before, what, TURNS]);
      if (round >= 0) ((samples[operation] ??= {})[name] ??= []).push(taken);
    }
  }
  if (round >= 0 && (round + 1) % 10 === 0) console.error(`operations: ${round + 1} of ${ROUNDS} rounds`);
}
for (const name of CONTENDERS) await pages[name].close();

// Loading: a page without a component, which gets one.
const load = [];
const blank = await context.newPage();
for (let round = -WARM; round < ROUNDS; round++) {
  await blank.goto(origin + "blank.html");
  await blank.waitForFunction(() => customElements.get("ounce-component"));
  const taken = await blank.evaluate(async () => {
    for (const key of await caches.keys()) await caches.delete(key);
    const { hibernation, load, Runtime } = await import("/ounce.js");
    await hibernation();
    const show = async (name) => {
      const element = document.createElement("ounce-component");
      element.setAttribute("src", name);
      const ready = new Promise((resolve) => element.addEventListener("ounce-ready", resolve, { once: true }));
      const began = performance.now();
      document.querySelector("main").append(element);
      await ready;
      return performance.now() - began;
    };
    const nothing = await show("table.json");
    const cached = await show("table.json");
    const image = await load("table.json");
    const began = performance.now();
    const COUNT = 50;
    for (let count = 0; count < COUNT; count++) new WebAssembly.Instance(image.module);
    const instance = (performance.now() - began) / COUNT;
    const compiling = performance.now();
    await WebAssembly.compile(image.bytes);
    const compile = performance.now() - compiling;
    const limits = { time: 1e9, memory: 1e9 };
    const runtime = new Runtime(image.module, {}, limits);
    runtime.call(0xffffffff);
    // A sleep, and an event that wakes it.
    const sleeping = performance.now();
    for (let count = 0; count < COUNT; count++) {
      runtime.sleep();
      runtime.call(99);
    }
    const wake = (performance.now() - sleeping) / COUNT;
    return { nothing, cached, instance, compile, wake };
  });
  if (round >= 0) load.push(taken);
}

// Switching between two roots of 1,000 rows, three ways.
const ways = {};
await blank.goto(origin + "blank.html");
await blank.evaluate(async () => {
  for (let count = 0; count < 2; count++) {
    const element = document.createElement("ounce-component");
    element.setAttribute("src", "table.json");
    element.style.display = "block";
    const ready = new Promise((resolve) => element.addEventListener("ounce-ready", resolve, { once: true }));
    document.querySelector("main").append(element);
    await ready;
    element.send(1);
  }
});
for (let round = -WARM; round < ROUNDS; round++) {
  for (const way of ["content-visibility", "display", "replaceChildren"]) {
    const taken = await blank.evaluate((way) => {
      const main = document.querySelector("main");
      globalThis.both ??= [...document.querySelectorAll("ounce-component")];
      const hide = (element, hidden) => {
        if (way === "content-visibility") element.style.contentVisibility = hidden ? "hidden" : "visible";
        if (way === "display") element.style.display = hidden ? "none" : "block";
      };
      const [one, other] = globalThis.both;
      const settle = () => {
        for (const element of globalThis.both) {
          element.style.contentVisibility = "visible";
          element.style.display = "block";
        }
        if (way === "replaceChildren") main.replaceChildren(one);
        else main.replaceChildren(one, other);
        hide(other, true);
        void document.body.offsetHeight;
      };
      settle();
      // Both were shown once.
      const swap = (from, to) => {
        const began = performance.now();
        if (way === "replaceChildren") main.replaceChildren(to);
        else {
          hide(from, true);
          hide(to, false);
        }
        const script = performance.now() - began;
        void document.body.offsetHeight;
        return { script, total: performance.now() - began };
      };
      swap(one, other);
      return swap(other, one);
    }, way);
    if (round >= 0) (ways[way] ??= []).push(taken);
  }
}

const version = context.browser()?.version() ?? (await blank.evaluate(() => navigator.userAgent.match(/Chrom\w+\/(\S+)/)[1]));
await context.close();
server.close();
await rm(profile, { recursive: true, force: true, maxRetries: 5 });

const packed = (bytes) => ({ bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotliCompressSync(bytes).length });
const host = packed(await readFile(FOLDER + "ounce.js"));
const modules = {};
for (const name of EXAMPLES) {
  modules[name] = packed(await moduleIn(SITE, name));
}
const peers = {};
const locked = JSON.parse(await readFile(at("../package-lock.json"), "utf8")).packages;
for (const [name, folder] of FRAMEWORKS) {
  const lock = await readFile(join(folder, "version"), "utf8").catch(() => "");
  if (lock) peers[name] = lock.trim();
}
const versions = { ...peers, chromium: version, preact: locked["node_modules/preact"].version, lit: "lit-html " + locked["node_modules/lit-html"].version };
await writeFile(file, JSON.stringify({ versions, rounds: ROUNDS, sizes, host, modules, samples, load, switch: ways }));
