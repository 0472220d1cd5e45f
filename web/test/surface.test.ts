import { expect, test } from "vitest";
import { PlainNode } from "../src/prerender";
import { Op } from "../src/protocol";
import { Surface } from "../src/surface";

const op = (code: Op, a = 0): number => code | (a << 8);

const shown = (words: number[], text = "", asked: unknown[] = []): string => {
  const root = new PlainNode("div");
  const surface = new Surface(root as unknown as Element, () => undefined, (...ask) => asked.push(ask));
  surface.apply({ words: new Uint32Array(words), text });
  surface.settle();
  return root.innerHTML;
};

test("a patch becomes elements, and texts stay texts", () => {
  const words = [op(Op.Name, 1), op(Op.Open, 0), 1, op(Op.Text, 3), op(Op.Close)];
  expect(shown(words, "p<b>")).toBe("<p>&#60;b&#62;</p>");
});

test("what is held is put in one step, before what it is told", () => {
  const words = [op(Op.Name, 1), op(Op.Open, 0), 1, op(Op.Close), op(Op.Hold), op(Op.Open, 0), 2, op(Op.Text, 1), op(Op.Close), op(Op.Open, 0), 3, op(Op.Close), op(Op.Put, 0), 1];
  expect(shown(words, "px")).toBe("<p>x</p><p></p><p></p>");
});

test("the page is asked after the patch is applied", () => {
  const asked: unknown[] = [];
  shown([op(Op.Name, 3), op(Op.Call, 0), 7, 2], "abcxy", asked);
  expect(asked).toEqual([["abc", "xy", 7]]);
});

test("a copy has its own elements with numbers in their order", () => {
  const words = [op(Op.Name, 2), op(Op.Name, 1), op(Op.Open, 0), 1, op(Op.Open, 1), 2, op(Op.Text, 1), op(Op.Close), op(Op.Close)];
  const root = new PlainNode("div");
  expect(shown(words, "trbx")).toBe("<tr><b>x</b></tr>");
  expect(root.innerHTML).toBe("");
});

const TAG = (name: string): [number[], string] => [[op(Op.Name, name.length), op(Op.Open, 0), 1], name];
const refused: [what: string, words: number[], text: string, why: string][] = [
  ["a script", ...TAG("script"), "<script> is forbidden"],
  ["an element of the page's own", ...TAG("ounce-component"), "is forbidden"],
  ["a handler as an attribute", [op(Op.Name, 1), op(Op.Name, 7), op(Op.Open, 0), 1, op(Op.Attribute, 1), 1], "ponclickx", 'forbidden: onclick="x"'],
  ["an address that runs code", [op(Op.Name, 1), op(Op.Name, 4), op(Op.Open, 0), 1, op(Op.Attribute, 1), 13], "ahrefjavascript:1;", "forbidden: href"],
  ["a handler as a flag", [op(Op.Name, 1), op(Op.Name, 7), op(Op.Open, 0), 1, op(Op.Flag, 1), 1], "ponclick", "forbidden"],
  ["an attribute of the root", [op(Op.Name, 3), op(Op.Attribute, 0), 1], "srcx", "the root is the page's"],
  ["the root's classes", [op(Op.Class, 1)], "x", "the root is the page's"],
  ["removing the root", [op(Op.Remove, 0)], "", "the root is the page's"],
  ["moving the root", [op(Op.Hold), op(Op.Move, 0), 0], "", "the root is the page's"],
  ["a copy of the root", [op(Op.Copy, 0), 5], "", "the root is the page's"],
  ["leaving the root", [op(Op.Close)], "", "the root is left"],
  ["a node that is not there", [op(Op.At, 9)], "", "there is no node 9"],
  ["putting nothing", [op(Op.Put, 0), 0], "", "nothing is held"],
  ["texts that are missing", [op(Op.Text, 5)], "ab", "texts are missing"],
  ["a command that is none", [99], "", "command 99 is unknown"],
];

test.each(refused)("%s is refused", (_, words, text, why) => {
  expect(() => shown(words, text)).toThrow(why);
});

test("random words end in an error or a patch, never in a page without its root", () => {
  let seed = 1;
  const random = (most: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % most;
  };
  for (let round = 0; round < 3000; round++) {
    const words = Array.from({ length: random(24) }, () => op(random(27) as Op, random(4)));
    const outer = new PlainNode("main");
    const root = new PlainNode("div");
    outer.appendChild(root);
    const surface = new Surface(root as unknown as Element, () => undefined, () => undefined);
    try {
      surface.apply({ words: new Uint32Array([op(Op.Name, 1), op(Op.Name, 2), ...words]), text: "plixyz" });
    } catch {
      // Refused: good.
    }
    expect(root.parentNode).toBe(outer);
    expect(root.attributes.size).toBe(0);
  }
});
