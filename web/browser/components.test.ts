/** The package in a real browser, under the strictest policy that pages of components can have. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
// @ts-expect-error: a script without types
import { place, sha256, SITE } from "../components.mjs";
import { Op } from "../src/protocol";
import { browser, html, POLICY, settled, Site } from "./ground";
import { button, component, module, op } from "./modules";

let chromium: Awaited<ReturnType<typeof browser>>;
let site: Site;
let folder: string;
let page: Page;
/** What the page's console says, policies that were broken among it. */
let said: string[];

beforeAll(async () => {
  folder = (await mkdtemp(join(tmpdir(), "ounce-site-"))) + "/";
  await cp(SITE, folder, { recursive: true });
  await place(folder, "trap", component(button("trap"), "(unreachable)"));
  await place(folder, "loop", component(button("loop"), "(loop $l (br $l)) (i32.const 16)"));
  await place(folder, "bomb", component(button("bomb"), "(drop (memory.grow (i32.const 1000))) (i32.const 16)"));
  await place(folder, "outside", component(button("outside"), "(i32.const 0x7ffffff0)"));
  await place(folder, "importing", component(button("x"), "(call $secret)", '(import "page" "secret" (func $secret (result i32)))'));
  await place(folder, "startrap", component(button("x"), "(i32.const 16)", "(func $f unreachable) (start $f)"));
  await place(folder, "script", component({ words: [op(Op.Name, 6), op(Op.Open, 0), 1], text: "script" }));
  await place(folder, "asking", component({ words: [op(Op.Name, 11), op(Op.Call, 0), 1, 0], text: "storage.get" }));
  await place(folder, "nothing", module("(module)"));
  const whole: Uint8Array = component(button("x"));
  await place(folder, "cut", whole.subarray(0, whole.length - 9));
  const core = component(button("wit"));
  expect(core.length).toBeGreaterThan(127);
  const lifted = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 1, (core.length & 127) | 128, core.length >> 7, ...core];
  await place(folder, "wit", new Uint8Array(lifted));
  site = await Site.open(folder);
  chromium = await browser();
});

afterAll(async () => {
  await chromium?.close();
  await site?.close();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  page = await chromium.context.newPage();
  said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
});

afterEach(async () => {
  site.odd = () => undefined;
  site.policy = POLICY;
  await page.close({ runBeforeUnload: false });
});

/** Opens a page with this body. */
const open = async (body: string, head = ""): Promise<void> => {
  const before = site.odd;
  site.odd = (path) => (path === "/" ? html(body, head) : before(path));
  await page.goto(site.origin + "/");
};

const failure = async (selector = "ounce-component"): Promise<string> => {
  await page.waitForSelector(selector + "[status=failed]");
  return (await settled(page, selector)).text;
};

test.each(["instance", "worker"])("the counter counts at the level %s, and no policy is broken", async (level) => {
  await open(`<ounce-component src="counter.json" level="${level}"></ounce-component>`);
  await settled(page);
  for (let count = 0; count < 3; count++) await page.click("button");
  await page.waitForFunction(() => document.querySelector("button")!.textContent === "3");
  expect(said).toEqual([]);
});

test("the counter counts in a frame of an origin of its own", async () => {
  await open('<ounce-component src="counter.json" level="frame"></ounce-component>');
  const frame = page.frameLocator("iframe");
  await frame.locator("button").click();
  await frame.locator("button", { hasText: "1" }).waitFor();
  expect(await page.frames()[1]!.evaluate(() => origin)).toBe("null");
  await page.waitForFunction(() => document.querySelector("iframe")!.offsetHeight > 10);
  expect(said).toEqual([]);
});

test("two elements of one image share its module and nothing else", async () => {
  const one = '<ounce-component src="counter.json"></ounce-component>';
  await open(one + one);
  await settled(page, "ounce-component:last-child");
  await page.click("button >> nth=0");
  expect(await page.locator("button").allTextContents()).toEqual(["1", "0"]);
  expect(site.asked.filter((path) => path.endsWith(".wasm")).length).toBeLessThanOrEqual(1);
});

test("a module that is not what its digest says is not run", async () => {
  const bytes = await readFile(folder + "counter.json", "utf8");
  const digest = (JSON.parse(bytes) as { layers: { digest: string }[] }).layers[0]!.digest;
  const other = component(button("evil"));
  const manifest = bytes.replace(/"size":\d+}\]/, `"size":${other.length}}]`);
  const wrong = digest.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
  site.odd = (path) => {
    if (path === "/forged.json") return { body: manifest.replace(digest, wrong) };
    return path.endsWith(wrong.slice(7) + ".wasm") ? { body: other } : undefined;
  };
  await open('<ounce-component src="forged.json"></ounce-component>');
  expect(await failure()).toContain(`has the digest ${sha256(other)}, not ${wrong}`);
  expect(await page.locator("button").count()).toBe(0);
});

test("a manifest that is not what its reference says is refused, and so is one that is longer than it says", async () => {
  await open(`<ounce-component src="counter.json#sha256:${"0".repeat(64)}"></ounce-component>`);
  expect(await failure()).toContain(`not sha256:${"0".repeat(64)}`);
  const manifest = await readFile(folder + "trap.json", "utf8");
  await page.close();
  page = await chromium.context.newPage();
  site.odd = (path) => (path === "/long.json" ? { body: manifest.replace(/"size":\d+}\]/, '"size":50}]') } : undefined);
  await open('<ounce-component src="long.json"></ounce-component>');
  expect(await failure()).toContain("longer than the 50 bytes");
});

test("a trap ends its component and no other", async () => {
  await open('<ounce-component id="bad" src="trap.json"></ounce-component><ounce-component id="good" src="counter.json"></ounce-component>');
  await settled(page, "#bad");
  await settled(page, "#good");
  await page.click("#bad button");
  expect(await failure("#bad")).toContain("unreachable");
  await page.click("#good button");
  expect(await page.textContent("#good button")).toBe("1");
  // Started anew it is as it was at first.
  await page.evaluate(() => (document.querySelector("#bad") as HTMLElement & { start(): Promise<void> }).start());
  expect(await page.textContent("#bad button")).toBe("trap");
});

test.each(["worker", "frame"])("an endless loop at the level %s is ended, and the page goes on", async (level) => {
  await open(`<ounce-component id="bad" src="loop.json" level="${level}" time="3000"></ounce-component><ounce-component id="good" src="counter.json"></ounce-component>`);
  await settled(page, "#good");
  await settled(page, "#bad");
  if (level === "worker") await page.click("#bad button");
  // Not waited for: the frame does not answer any more.
  else void page.frameLocator("iframe").locator("button").click({ noWaitAfter: true }).catch(() => undefined);
  await page.waitForFunction(() => document.querySelector("#bad")!.getAttribute("status") === "failed");
  expect(await failure("#bad")).toContain("did not answer within 3000 ms");
  await page.click("#good button");
  expect(await page.textContent("#good button")).toBe("1");
  expect(await page.locator("iframe").count()).toBe(0);
});

test("an event that takes too long on the page's own thread is the component's last", async () => {
  const long = "(local.set 1 (i32.const 400000000)) (loop $l (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1))))) (i32.const 16)";
  await place(folder, "slow", component(button("slow"), long));
  await open('<ounce-component src="slow.json" time="5"></ounce-component>');
  await settled(page);
  await page.click("button");
  expect(await failure()).toContain("and 5 is its limit");
});

test.each(["instance", "worker"])("memory past its limit ends a component at the level %s", async (level) => {
  await open(`<ounce-component src="bomb.json" level="${level}"></ounce-component>`);
  await settled(page);
  await page.click("button");
  await page.waitForFunction(() => document.querySelector("ounce-component")!.getAttribute("status") === "failed");
  expect(await failure()).toContain("it has 65601536 bytes of memory, and 16777216 is its limit");
});

test("a patch outside the component's memory is its end", async () => {
  await open('<ounce-component src="outside.json"></ounce-component>');
  await settled(page);
  await page.click("button");
  expect(await failure()).not.toBe("");
});

test.each([
  ["importing", "imports page.secret, which this page does not grant"],
  ["startrap", "unreachable"],
  ["nothing", "does not export `event` and `memory`"],
  ["cut", "no valid module"],
  ["script", "it may not: forbidden: <script>"],
  ["asking", 'storage.get, which needs grant="storage"'],
])("the image `%s` fails with what is wrong", async (name, why) => {
  await open(`<ounce-component src="${name}.json"></ounce-component>`);
  expect(await failure()).toContain(why);
});

test("a function that the page grants can be called", async () => {
  await open('<ounce-component src="importing.json"></ounce-component>');
  await failure();
  const called = await page.evaluate(async () => {
    let called = 0;
    const element = document.querySelector("ounce-component") as HTMLElement & { imports: unknown; start(): Promise<void>; send(message: number): void };
    element.imports = { page: { secret: () => (called++, 16) } };
    await element.start();
    element.send(1);
    return called;
  });
  expect(called).toBe(1);
});

test("the core module of a component of WIT is run", async () => {
  await open('<ounce-component src="wit.json"></ounce-component>');
  expect((await settled(page)).text).toBe("wit");
});

test("a policy that forbids WebAssembly is named with what it lacks", async () => {
  site.policy = POLICY.replace(" 'wasm-unsafe-eval'", "");
  await open('<ounce-component src="counter.json"></ounce-component>');
  expect(await failure()).toContain("script-src 'wasm-unsafe-eval'");
});

test("an old browser is told apart from a broken component", async () => {
  await page.addInitScript(() => Reflect.deleteProperty(globalThis, "WebAssembly"));
  await open('<ounce-component src="counter.json"></ounce-component>');
  expect(await failure()).toContain("this browser is too old");
});

test.each([
  ["it is not there", { status: 404 }, "answers 404"],
  ["it is a page", { body: "<!doctype html>" }, "is no module, and no manifest"],
  ["it is an index without a module", { body: '{"layers":[]}' }, "is no module, and no manifest"],
  ["its layer has no digest", { body: '{"layers":[{"mediaType":"application/wasm","digest":"x","size":1}]}' }, "is no module, and no manifest"],
])("a manifest is refused when %s", async (_, answer, why) => {
  site.odd = (path) => (path === "/m.json" ? answer : undefined);
  await open('<ounce-component src="m.json"></ounce-component>');
  expect(await failure()).toContain(why);
});

test("a module of another MIME type is run: its digest says what it is", async () => {
  const { layers } = JSON.parse(await readFile(folder + "table.json", "utf8")) as { layers: { digest: string }[] };
  const blob = `/blobs/${layers[0]!.digest.replace(":", "/")}.wasm`;
  const body = await readFile(folder + blob);
  site.odd = (path) => (path === blob ? { body, headers: { "content-type": "text/plain" } } : undefined);
  await open('<ounce-component src="table.json"></ounce-component>');
  expect((await settled(page)).status).toBe("ready");
});

test("offline, what was seen before is served from the cache", async () => {
  await open('<ounce-component src="counter.json"></ounce-component>');
  expect((await settled(page)).status).toBe("ready");
  // It is written when there is time for it.
  await page.waitForFunction(async () => {
    const kept = (await (await caches.open("ounce")).keys()).map(({ url }) => url);
    return kept.some((url) => url.endsWith("counter.json")) && kept.some((url) => url.endsWith(".wasm"));
  });
  // The image is away; the page and its script are not what is tried here.
  site.odd = (path) => (path.endsWith(".json") || path.endsWith(".wasm") ? { status: 500 } : undefined);
  await page.route(/\.(json|wasm)$/, (route) => route.abort());
  await open('<ounce-component src="counter.json"></ounce-component><ounce-component id="new" src="unseen.json"></ounce-component>');
  expect((await settled(page)).status).toBe("ready");
  expect(await failure("#new")).toContain("cannot be reached, and is not in the cache");
});

test("a registry that lets no other site read it is told apart, and one that does is read with its token", async () => {
  const registry = await Site.open(folder);
  const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "authorization", "access-control-expose-headers": "www-authenticate" };
  site.policy = POLICY.replace("connect-src 'self'", "connect-src 'self' http://localhost:*");
  const host = registry.origin.replace("http://127.0.0.1", "localhost");
  registry.odd = () => ({ body: "{}" });
  await open(`<ounce-component src="oci://${host}/team/counter:v1"></ounce-component>`);
  expect(await failure()).toContain("lets no other site read it (CORS)");
  const manifest = await readFile(folder + "counter.json");
  let asked = 0;
  registry.odd = (path) => {
    if (path === "/token") return { headers: cors, body: '{"token":"abc"}' };
    if (path.includes("/blobs/")) return undefined;
    // The first request has no token.
    if (path === "/v2/team/counter/manifests/v1" && asked++ === 0) {
      return { status: 401, headers: { ...cors, "www-authenticate": `Bearer realm="http://${host}/token",service="s",scope="repository:team/counter:pull"` } };
    }
    return { headers: cors, body: manifest };
  };
  await page.goto(site.origin + "/");
  expect((await settled(page)).text).toBeDefined();
  expect(registry.asked).toContain("/token");
  await registry.close();
});

test("a bundle brings manifests and modules at once", async () => {
  const manifest = await readFile(folder + "trap.json");
  const { digest, size } = (JSON.parse(manifest.toString()) as { layers: { digest: string; size: number }[] }).layers[0]!;
  const blob = await readFile(`${folder}blobs/${digest.replace(":", "/")}.wasm`);
  const index = Buffer.from(JSON.stringify({ "inside.json": [sha256(manifest), 0, manifest.length], [digest]: [digest, manifest.length, size] }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(index.length);
  const bundle = Buffer.concat([length, index, manifest, blob]);
  await writeFile(folder + "page.bundle", bundle);
  await open("<main></main>");
  const asked = site.asked.length;
  // As text: it is a module of the page's that is imported.
  const text = await page.evaluate(`(async () => {
    const { loadBundle } = await import("/ounce.js");
    await loadBundle("page.bundle#${sha256(bundle)}");
    const element = document.createElement("ounce-component");
    element.setAttribute("src", "inside.json");
    const ready = new Promise((resolve) => element.addEventListener("ounce-ready", resolve));
    document.querySelector("main").append(element);
    await ready;
    return element.textContent;
  })()`);
  expect(text).toBe("trap");
  expect(site.asked.slice(asked).filter((path) => !path.endsWith(".js"))).toEqual(["/page.bundle"]);
});

test("a thousand components of two images live on a page, each with its own state", async () => {
  await open("<main></main>");
  const facts = await page.evaluate(async () => {
    const main = document.querySelector("main")!;
    const COUNT = 1000;
    type Element_ = HTMLElement & { bytes: number };
    const elements: Element_[] = [];
    const ready: Promise<unknown>[] = [];
    for (let place = 0; place < COUNT; place++) {
      const element = document.createElement("ounce-component") as Element_;
      element.setAttribute("src", place % 10 ? "counter.json" : "table.json");
      ready.push(new Promise((resolve) => element.addEventListener("ounce-ready", resolve, { once: true })));
      ready.push(new Promise((resolve) => element.addEventListener("ounce-error", resolve, { once: true })).then((event) => Promise.reject((event as CustomEvent<Error>).detail)));
      main.append(element);
      elements.push(element);
    }
    const all = Promise.all(ready.filter((_, index) => index % 2 === 0));
    await Promise.race([all, ...ready.filter((_, index) => index % 2)]);
    // Each is woken several times, in an order in which the last is never near.
    for (let round = 0; round < 3; round++) {
      for (let step = 0; step < COUNT; step++) {
        const place = (step * 617) % COUNT;
        if (place % 10 && (round === 0 || place % 7 === 0)) elements[place]!.querySelector("button")!.click();
      }
    }
    const wrong = elements.filter((element, place) => {
      if (place % 10 === 0) return element.querySelectorAll("button").length !== 6;
      return element.textContent !== (place % 7 === 0 ? "3" : "1");
    });
    return { wrong: wrong.length, bytes: elements.reduce((sum, element) => sum + element.bytes, 0) };
  });
  expect(facts.wrong).toBe(0);
  // Far less than a memory of 64 KiB and more for each.
  expect(facts.bytes).toBeLessThan(40 << 20);
});

test("rows that are copies of one act each for itself", async () => {
  await open('<ounce-component src="table.json"></ounce-component>');
  await settled(page);
  await page.click("#run");
  const rows = page.locator("tbody tr");
  const id = (row: number): Promise<string> => rows.nth(row).locator("td").first().innerText();
  const [second, sixth] = [await id(1), await id(5)];
  await rows.nth(5).locator(".lbl").click();
  expect(await rows.nth(5).getAttribute("class")).toBe("danger");
  await rows.nth(1).locator(".remove span").dispatchEvent("click");
  expect(await rows.count()).toBe(999);
  expect(await id(1)).not.toBe(second);
  expect([await id(4), await rows.nth(4).getAttribute("class")]).toEqual([sixth, "danger"]);
  await page.click("#update");
  const labels = await page.locator(".lbl").allInnerTexts();
  expect(labels.map((text, row) => (text.endsWith(" !!!") ? row % 10 : -1)).filter((rest) => rest > 0)).toEqual([]);
  expect(labels.filter((text) => text.endsWith(" !!!")).length).toBe(100);
  await page.click("#swaprows");
  await rows.nth(998).locator(".lbl").click();
  expect(await page.locator("tr.danger").count()).toBe(1);
  expect(await rows.nth(998).getAttribute("class")).toBe("danger");
  await page.click("#add");
  await rows.nth(1998).locator(".remove").dispatchEvent("click");
  await rows.nth(1000).locator(".remove").dispatchEvent("click");
  expect(await rows.count()).toBe(1997);
  await page.click("#clear");
  expect(await rows.count()).toBe(0);
  await page.click("#run");
  await rows.nth(999).locator(".remove").dispatchEvent("click");
  expect(await rows.count()).toBe(999);
});

test("a successor takes over the state, and one that fails changes nothing", async () => {
  await open('<ounce-component src="todomvc.json" grant="storage route" name="successor"></ounce-component>');
  await settled(page);
  await page.fill(".new-todo", "stay");
  await page.press(".new-todo", "Enter");
  await cp(folder + "todomvc.json", folder + "todomvc-2.json");
  await page.evaluate(() => localStorage.clear());
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        const element = document.querySelector("ounce-component")!;
        element.addEventListener("ounce-ready", resolve, { once: true });
        element.setAttribute("src", "todomvc-2.json");
      }),
  );
  expect(await page.locator(".todo-list li").allInnerTexts()).toEqual(["stay"]);
  const why = await page.evaluate(
    () =>
      new Promise<string>((resolve) => {
        const element = document.querySelector("ounce-component")!;
        element.addEventListener("ounce-error", (event) => resolve((event as CustomEvent<Error>).detail.message), { once: true });
        element.setAttribute("src", "cut.json");
      }),
  );
  expect(why).toContain("no valid module");
  await page.fill(".new-todo", "still here");
  await page.press(".new-todo", "Enter");
  expect(await page.locator(".todo-list li").count()).toBe(2);
});

test.each(["instance", "worker", "frame"])("the successor of a component that keeps no state begins anew, at the level %s", async (level) => {
  await open(`<ounce-component src="counter.json" level="${level}"></ounce-component>`);
  await settled(page);
  const state = await page.evaluate(() => (document.querySelector("ounce-component") as HTMLElement & { save(): Promise<string> }).save());
  expect(state).toBe("");
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        const element = document.querySelector("ounce-component")!;
        element.addEventListener("ounce-ready", resolve, { once: true });
        element.setAttribute("src", "wit.json");
      }),
  );
  const top = level === "frame" ? page.frameLocator("iframe") : page;
  expect(await top.locator("button").allInnerTexts()).toEqual(["wit"]);
});

test("with a root of its own the page's styles stay out", async () => {
  site.policy = POLICY.replace("style-src 'self'", "style-src 'unsafe-inline'");
  await open('<ounce-component src="counter.json" shadow></ounce-component>', "<style>button { display: none }</style>");
  await settled(page);
  await page.locator("ounce-component button").click();
  expect(await page.locator("ounce-component button").innerText()).toBe("1");
});

test("the shell shows what the address says, keeps states, and offers to try again", async () => {
  site.odd = (path) =>
    path === "/page.js"
      ? {
          headers: { "content-type": "text/javascript" },
          body: `import { Shell } from "./shell.js";
            window.life = [];
            const note = (what) => (route) => void life.push(what + " " + route.path);
            window.shell = new Shell(document.querySelector("main"), [
              { path: "/counter", component: { src: "counter.json" } },
              { path: "/trap", component: { src: "trap.json" } },
            ], { mounted: note("mounted"), shown: note("shown"), hidden: note("hidden"), unmounted: note("unmounted") });`,
        }
      : undefined;
  await open('<a href="#/trap">trap</a><main></main><script type="module" src="/page.js"></script>');
  await page.evaluate(() => void (location.hash = "/counter"));
  await settled(page);
  await page.click("main button");
  await page.hover("a");
  await page.waitForFunction(() => document.querySelectorAll("ounce-component[status=ready]").length === 2);
  await page.evaluate(() => void (location.hash = "/trap"));
  await page.waitForFunction(() => !document.querySelectorAll("ounce-component")[1]!.hasAttribute("inert"));
  await page.locator("main button", { hasText: "trap" }).click();
  await page.locator("main button", { hasText: "Try again" }).click();
  await page.locator("main button", { hasText: "trap" }).waitFor();
  await page.evaluate(() => void (location.hash = "/counter"));
  await page.waitForFunction(() => !document.querySelectorAll("ounce-component")[0]!.hasAttribute("inert"));
  await page.locator("main button", { hasText: "1" }).click();
  expect(await page.locator("main button").first().innerText()).toBe("2");
  expect(await page.evaluate("life")).toEqual(["mounted /counter", "shown /counter", "mounted /trap", "hidden /counter", "shown /trap", "hidden /trap", "shown /counter"]);
  await page.evaluate("shell.end()");
  expect(await page.locator("ounce-component").count()).toBe(0);
});
