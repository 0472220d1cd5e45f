/** What a server has drawn of a component, taken over in place. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
// @ts-expect-error: a script without types
import { moduleIn, place, SITE } from "../components.mjs";
import { prerender } from "../src/prerender";
import { Op } from "../src/protocol";
import { browser, html, settled, Site } from "./ground";
import { button, component, op } from "./modules";

let chromium: Awaited<ReturnType<typeof browser>>;
let site: Site;
let folder: string;
let page: Page;

/** Texts that parsers change, fields, a box: numbers are the nodes'. */
const ODD = {
  words: [
    ...[op(Op.Name, 3), op(Op.Open, 0), 1, op(Op.Node, 2), 2, op(Op.Node, 1), 3, op(Op.Node, 5), 4, op(Op.Close)],
    ...[op(Op.Name, 8), op(Op.Open, 1), 5, op(Op.Value, 6), op(Op.Close)],
    ...[op(Op.Name, 5), op(Op.Name, 4), op(Op.Name, 8), op(Op.Name, 7), op(Op.Open, 2), 6, op(Op.Attribute, 3), 8, op(Op.Flag, 5), 1, op(Op.Close)],
    ...[op(Op.Open, 2), 7, op(Op.Attribute, 4), 3, op(Op.Value, 5), op(Op.Close)],
    ...[op(Op.Name, 6), op(Op.Name, 5), op(Op.Open, 6), 8, op(Op.On, 7), 1, 0, op(Op.Text, 4), op(Op.Close)],
  ],
  text: "pre\na" + "b" + "<c>\r&" + "textarea\n</t>\n" + "inputtypedata-xyzchecked" + "checkbox" + "a\"b" + "v<\"> " + "buttonclick" + "last",
};

beforeAll(async () => {
  folder = (await mkdtemp(join(tmpdir(), "ounce-rendered-"))) + "/";
  await cp(SITE, folder, { recursive: true });
  await place(folder, "odd", component(ODD, "(unreachable)"));
  await place(folder, "plain", component(button("plain")));
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
});

afterEach(async () => {
  site.odd = () => undefined;
  await page.close();
});

const drawn = async (name: string): Promise<string> => prerender(await WebAssembly.compile((await moduleIn(folder, name)) as Uint8Array<ArrayBuffer>));

/** Shows what a server drew, marks each node, and does something before the component is there. */
const open = async (name: string, markup: string, attributes = ""): Promise<void> => {
  site.odd = (path) => {
    const body = `<ounce-component src="${name}.json" status="rendered" ${attributes}>${markup}</ounce-component>`;
    return path === "/" ? { ...html(""), body: `<!doctype html><meta charset="utf-8"><title>t</title>${body}` } : undefined;
  };
  await page.goto(site.origin + "/");
  await page.evaluate(() => {
    const walk = document.createTreeWalker(document.querySelector("ounce-component")!);
    while (walk.nextNode()) (walk.currentNode as Node & { drawn?: boolean }).drawn = true;
  });
};

const start = async (): Promise<{ status: string; text: string }> => {
  // As text: it is a module of the page's that is imported.
  await page.evaluate('import("/ounce.js")');
  return settled(page);
};

/** How many nodes the server drew, and how many were made here; and what there is. */
const counted = (): Promise<{ kept: number; made: number; markup: string }> =>
  page.evaluate(() => {
    const element = document.querySelector("ounce-component")!;
    const walk = document.createTreeWalker(element);
    let kept = 0;
    let made = 0;
    while (walk.nextNode()) (walk.currentNode as Node & { drawn?: boolean }).drawn ? kept++ : made++;
    return { kept, made, markup: element.innerHTML };
  });

test.each(["instance", "worker"])("all that was drawn is kept at the level %s, with the focus and what was typed", async (level) => {
  await open("todomvc", await drawn("todomvc"), `level="${level}" name="rendered-${level}"`);
  await page.evaluate(() => {
    const field = document.querySelector<HTMLInputElement>(".new-todo")!;
    field.focus();
    field.value = "typed early";
    field.setSelectionRange(2, 4);
  });
  // What it asks for first has no answer that changes what it shows.
  await page.evaluate(() => document.querySelector("ounce-component")!.setAttribute("grant", "storage route"));
  expect((await start()).status).toBe("ready");
  const { kept, made } = await counted();
  expect(made).toBe(0);
  expect(kept).toBeGreaterThan(3);
  const field = await page.evaluate(() => {
    const { value, selectionStart } = document.activeElement as HTMLInputElement;
    return { value, selectionStart };
  });
  expect(field).toEqual({ value: "typed early", selectionStart: 2 });
  await page.press(".new-todo", "Enter");
  await page.locator(".todo-list li").waitFor();
  expect(await page.locator(".todo-list li").allInnerTexts()).toEqual(["typed early"]);
});

test("buttons that were drawn act when the component is there", async () => {
  await open("table", await drawn("table"));
  expect((await start()).status).toBe("ready");
  expect((await counted()).made).toBe(0);
  await page.click("#run");
  await page.locator("tbody tr:nth-child(7) .remove span").dispatchEvent("click");
  expect(await page.locator("tbody tr").count()).toBe(999);
});

test("texts, fields and boxes that parsers change come back as they were", async () => {
  const markup = await drawn("odd");
  await open("odd", markup);
  expect((await start()).status).toBe("ready");
  const taken = await counted();
  expect(taken.made).toBe(0);
  const values = await page.evaluate(() => {
    const element = document.querySelector("ounce-component")!;
    const [box, field] = element.querySelectorAll("input");
    return [...[...element.querySelector("pre")!.childNodes].map((one) => one.textContent), element.querySelector("textarea")!.value, box!.checked, field!.value, field!.getAttribute("data-xyz")];
  });
  // Fields have no carriage returns: what is typed has none either.
  expect(values).toEqual(["\na", "b", "<c>\r&", "\n</t>\n", true, 'v<"> ', 'a"b']);
  await page.click("ounce-component button");
  await page.waitForSelector("[status=failed]");
  expect((await settled(page)).text).toContain("unreachable");
});

test.each([
  ["another text", (markup: string) => markup.replace("last", "lost")],
  ["another attribute", (markup: string) => markup.replace("data-xyz=", 'class="y" data-xyz=')],
  ["an element too many", (markup: string) => markup.replace("<button", "<p>more</p><button")],
  ["an element too few", (markup: string) => markup.replace(/<textarea>[^]*<\/textarea>/, "")],
  ["another element", (markup: string) => markup.replace(/button/g, "b")],
  ["no texts apart", (markup: string) => markup.replace(/<!---->/g, "")],
  ["spaces around", (markup: string) => markup.replace(/<(pre|input|button)/g, "\n  <$1") + "\n"],
  ["nothing", () => ""],
])("what was drawn wrongly, with %s, is right in the end", async (_, spoil) => {
  await open("odd", spoil(await drawn("odd")));
  expect((await start()).status).toBe("ready");
  const { markup } = await counted();
  const fresh = await page.evaluate(async () => {
    const element = document.createElement("ounce-component");
    element.setAttribute("src", "odd.json");
    const ready = new Promise((resolve) => element.addEventListener("ounce-ready", resolve));
    document.body.append(element);
    await ready;
    return element.firstElementChild!.innerHTML;
  });
  // A box that the server ticked has the attribute beside the property.
  expect(markup.replace(' checked=""', "").replace(/ value="[^"]*"/, "").replace(/(<textarea>)[^]*(<\/textarea>)/, "$1$2")).toBe(fresh);
  await page.click("ounce-component button");
  await page.waitForSelector("[status=failed]");
  expect((await settled(page)).text).toContain("unreachable");
});

test("a frame takes the place of what was drawn", async () => {
  await open("plain", await drawn("plain"), 'level="frame"');
  await start();
  await page.frameLocator("iframe").locator("button", { hasText: "plain" }).waitFor();
  expect(await page.locator("ounce-component > button").count()).toBe(0);
});

test("an update takes the place of what was taken over", async () => {
  await open("todomvc", await drawn("todomvc"), 'grant="storage route" name="rendered"');
  await start();
  await page.fill(".new-todo", "stay");
  await page.press(".new-todo", "Enter");
  await cp(folder + "todomvc.json", folder + "todomvc-2.json");
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        const element = document.querySelector("ounce-component")!;
        element.addEventListener("ounce-ready", resolve, { once: true });
        element.setAttribute("src", "todomvc-2.json");
      }),
  );
  expect(await page.locator(".todo-list li").allInnerTexts()).toEqual(["stay"]);
  await page.click(".todo-list li .toggle");
  await page.locator(".todo-list li.completed").waitFor();
});
