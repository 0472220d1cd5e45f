/** TodoMVC as `ounce up` serves it: what its specification asks for, each by a browser's own events. */
import { type ChildProcess, spawn } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Page } from "playwright-core";
// @ts-expect-error: a script without types
import { example, OUNCE, STORE } from "../components.mjs";
import { browser, settled } from "./ground";

let chromium: Awaited<ReturnType<typeof browser>>;
let server: ChildProcess;
let address: string;
let page: Page;
let said: string[];

beforeAll(async () => {
  server = spawn(OUNCE, ["--store", STORE, "up", "--publish", "127.0.0.1:0:8080", example("todomvc")], { stdio: ["ignore", "pipe", "inherit"] });
  address = await new Promise((resolve, reject) => {
    let text = "";
    server.stdout!.on("data", (piece: Buffer) => {
      const found = /answers at\s+(http:\S+)/.exec((text += piece));
      if (found) resolve(found[1]!);
    });
    server.on("exit", (code) => reject(new Error(`ounce up ended with ${code}: ${text}`)));
  });
  chromium = await browser();
});

afterAll(async () => {
  await chromium?.close();
  if (!server || server.exitCode !== null) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  await ended;
});

beforeEach(async () => {
  page = await chromium.context.newPage();
  said = [];
  // Browsers ask for an icon by themselves.
  page.on("console", (message) => message.location().url.endsWith("/favicon.ico") || said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  await page.goto(address);
  await page.evaluate(() => localStorage.clear());
  await page.goto(address + "#/");
  await page.reload();
  await settled(page);
});

afterEach(async () => {
  expect(said).toEqual([]);
  await page.close();
});

const ITEMS = ["buy some cheese", "feed the cat", "book a doctors appointment"];
const add = async (...titles: string[]): Promise<void> => {
  for (const title of titles) {
    await page.fill(".new-todo", title);
    await page.press(".new-todo", "Enter");
  }
};
const titles = (): Promise<string[]> => page.locator(".todo-list label").allTextContents();
const completed = (): Promise<boolean[]> => page.locator(".todo-list li").evaluateAll((all) => all.map((one) => one.classList.contains("completed")));
const toggle = (place: number): Promise<void> => page.locator(".todo-list .toggle").nth(place).click();
const edit = async (place: number): Promise<void> => page.locator(".todo-list label").nth(place).dblclick();

test("without todos there is no list and no footer, and the field has the focus", async () => {
  expect(await page.locator(".main, .footer").count()).toBe(0);
  expect(await page.evaluate(() => document.activeElement!.className)).toBe("new-todo");
});

test("a todo is appended, its text trimmed, the field emptied; an empty one is none", async () => {
  await add(ITEMS[0]!, "   " + ITEMS[1]! + "  ", "   ");
  expect(await titles()).toEqual([ITEMS[0], ITEMS[1]]);
  await add("x");
  expect(await page.inputValue(".new-todo")).toBe("");
  expect(await page.locator(".main, .footer").count()).toBe(2);
});

test("the footer counts what is left, in words", async () => {
  await add(ITEMS[0]!);
  expect(await page.innerText(".todo-count")).toBe("1 item left");
  await add(ITEMS[1]!);
  expect(await page.innerText(".todo-count")).toBe("2 items left");
  await toggle(0);
  expect(await page.innerText(".todo-count")).toBe("1 item left");
});

test("all are completed at once, and the box follows when one changes", async () => {
  await add(...ITEMS);
  const all = page.locator(".toggle-all");
  await all.click();
  expect(await completed()).toEqual([true, true, true]);
  expect(await all.isChecked()).toBe(true);
  await toggle(1);
  expect(await all.isChecked()).toBe(false);
  await toggle(1);
  expect(await all.isChecked()).toBe(true);
  await all.click();
  expect(await completed()).toEqual([false, false, false]);
});

test("one is completed and taken back", async () => {
  await add(...ITEMS);
  await toggle(1);
  expect(await completed()).toEqual([false, true, false]);
  await toggle(1);
  expect(await completed()).toEqual([false, false, false]);
});

test("one is deleted by its button", async () => {
  await add(...ITEMS);
  await page.locator(".todo-list li").nth(1).hover();
  await page.locator(".destroy").nth(1).click();
  expect(await titles()).toEqual([ITEMS[0], ITEMS[2]]);
});

test("an edit has the focus, hides the rest, and is saved by Enter, trimmed", async () => {
  await add(...ITEMS);
  await edit(1);
  const field = page.locator(".todo-list li").nth(1).locator(".edit");
  expect(await field.inputValue()).toBe(ITEMS[1]);
  expect(await page.evaluate(() => document.activeElement!.className)).toBe("edit");
  expect(await page.locator(".todo-list li").nth(1).locator(".view").isVisible()).toBe(false);
  await field.fill("  buy some sausages  ");
  await field.press("Enter");
  expect(await titles()).toEqual([ITEMS[0], "buy some sausages", ITEMS[2]]);
  expect(await page.locator(".edit").count()).toBe(0);
});

test("an edit is saved when it is left, taken back by Escape, and an empty one deletes", async () => {
  await add(...ITEMS);
  await edit(0);
  await page.fill(".edit", "left");
  await page.focus(".new-todo");
  expect(await titles()).toEqual(["left", ITEMS[1], ITEMS[2]]);
  await edit(1);
  await page.fill(".edit", "nothing");
  await page.press(".edit", "Escape");
  expect(await titles()).toEqual(["left", ITEMS[1], ITEMS[2]]);
  await edit(2);
  await page.fill(".edit", "");
  await page.press(".edit", "Enter");
  expect(await titles()).toEqual(["left", ITEMS[1]]);
});

test("completed ones are cleared by a button that is there only then", async () => {
  await add(...ITEMS);
  expect(await page.locator(".clear-completed").count()).toBe(0);
  await toggle(1);
  expect(await page.innerText(".clear-completed")).toBe("Clear completed");
  await page.click(".clear-completed");
  expect(await titles()).toEqual([ITEMS[0], ITEMS[2]]);
  expect(await page.locator(".clear-completed").count()).toBe(0);
});

test("all of it is there again after the page is loaded anew", async () => {
  await add(ITEMS[0]!, "<b>ü&\"🎉</b>");
  await toggle(1);
  await page.reload();
  await settled(page);
  await page.locator(".todo-list li").nth(1).waitFor();
  expect(await titles()).toEqual([ITEMS[0], "<b>ü&\"🎉</b>"]);
  expect(await completed()).toEqual([false, true]);
});

test("the address filters, the way back works, and the filter that is on is marked", async () => {
  await add(...ITEMS);
  await toggle(1);
  await page.click(".filters >> text=Active");
  await page.locator(".selected", { hasText: "Active" }).waitFor();
  expect(await titles()).toEqual([ITEMS[0], ITEMS[2]]);
  await page.click(".filters >> text=Completed");
  await page.locator(".selected", { hasText: "Completed" }).waitFor();
  expect(await titles()).toEqual([ITEMS[1]]);
  await page.goBack();
  await page.locator(".selected", { hasText: "Active" }).waitFor();
  expect(await titles()).toEqual([ITEMS[0], ITEMS[2]]);
  await page.click(".filters >> text=All");
  await page.locator(".selected", { hasText: "All" }).waitFor();
  expect(await titles()).toEqual(ITEMS);
  expect(await page.locator(".selected").count()).toBe(1);
});

test("the policy that the page came with allows WebAssembly and nothing inline", async () => {
  const response = await page.reload();
  const policy = response!.headers()["content-security-policy"]!;
  expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
  expect(policy).not.toContain("unsafe-inline");
  await settled(page);
});
