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

/** A row that listens: `<tr class="x"><b>x</b><i></i></tr>`, numbered 1 to 3; held, so that copies follow it. */
const ROW = {
  words: [
    ...[op(Op.Name, 2), op(Op.Name, 1), op(Op.Name, 1), op(Op.Name, 5), op(Op.Hold), op(Op.Open, 0), 1, op(Op.Class, 1)],
    ...[op(Op.Open, 1), 2, op(Op.Text, 1), op(Op.Close), op(Op.Open, 2), 3, op(Op.On, 3), 7, 8, op(Op.Close), op(Op.Close)],
  ],
  text: "trbiclickxo",
};
const PUT = [op(Op.Put, 0), 0];

test("a copy has the elements of its model and their attributes, and texts of its own", () => {
  const copies = [op(Op.Copy, 1), 4, op(Op.At, 5), op(Op.Text, 1), op(Op.At, 4), op(Op.Close), op(Op.Copy, 1), 7, op(Op.At, 9), op(Op.Text, 1), op(Op.At, 7), op(Op.Close)];
  expect(shown([...ROW.words, ...copies, ...PUT], ROW.text + "yz")).toBe(
    '<tr class="x"><b>o</b><i></i></tr><tr class="x"><b>y</b><i></i></tr><tr class="x"><b></b><i>z</i></tr>',
  );
});

test("what stands in a copy is found in later patches, and after something came into it", () => {
  const root = new PlainNode("div");
  const surface = new Surface(root as unknown as Element, () => undefined, () => undefined);
  const told = (words: number[], text = ""): string => {
    surface.apply({ words: new Uint32Array(words), text });
    return root.innerHTML;
  };
  told([...ROW.words, op(Op.Copy, 1), 4, op(Op.Close), op(Op.Copy, 1), 7, op(Op.Close), ...PUT], ROW.text);
  // Before its first element stands another now, and the second is written to only then.
  told([op(Op.Hold), op(Op.Open, 2), 20, op(Op.Close), op(Op.Put, 4), 5, op(Op.At, 6), op(Op.Text, 1)], "s");
  expect(told([op(Op.At, 9), op(Op.Text, 1)], "t")).toBe(
    '<tr class="x"><b>o</b><i></i></tr><tr class="x"><i></i><b></b><i>s</i></tr><tr class="x"><b></b><i>t</i></tr>',
  );
  // Of one that is gone nothing is there any more.
  told([op(Op.Remove, 4)]);
  expect(() => told([op(Op.At, 5)])).not.toThrow();
  told([...ROW.words.slice(4), op(Op.Copy, 1), 30, op(Op.Close), ...PUT, op(Op.Remove, 30)], "xo");
  expect(() => told([op(Op.At, 31)])).toThrow("no node 31");
  expect(() => told([op(Op.OnAt, 3), 31, 1, 1])).toThrow("no node 30");
});

test("copies of copies end a component before they end the page", () => {
  const words = [...TAG("p")[0], op(Op.Close)];
  for (let round = 1; round < 40; round++) {
    const copy = [op(Op.Copy, round), 100, op(Op.Close)];
    words.push(op(Op.Open, 0), round + 1, ...copy, ...copy, op(Op.Close));
  }
  expect(() => shown(words, "p")).toThrow("too many copies");
});

test("what a server draws comes back from a parser as it was", () => {
  const words = [
    ...[op(Op.Name, 3), op(Op.Open, 0), 1, op(Op.Node, 2), 2, op(Op.Node, 1), 3, op(Op.Node, 0), 4, op(Op.Close)],
    ...[op(Op.Name, 8), op(Op.Open, 1), 5, op(Op.Value, 5), op(Op.Close)],
    ...[op(Op.Name, 5), op(Op.Name, 7), op(Op.Open, 2), 6, op(Op.Flag, 3), 1, op(Op.Value, 3), op(Op.Close)],
  ];
  expect(shown(words, 'pre\nab' + "textarea\n</t>" + "inputchecked\"&\r".replace("checked", "checked"))).toBe(
    '<pre>\n\na<!---->b<!----></pre><textarea>\n\n&#60;/t&#62;</textarea><input checked="" value="&#34;&#38;&#13;">',
  );
});

const TAG = (name: string): [number[], string] => [[op(Op.Name, name.length), op(Op.Open, 0), 1], name];
const refused: [what: string, words: number[], text: string, why: string][] = [
  ["a script", ...TAG("script"), "forbidden: <script>"],
  ["an element of the page's own", ...TAG("ounce-component"), "forbidden: <ounce-component>"],
  ["a handler as an attribute", [op(Op.Name, 1), op(Op.Name, 7), op(Op.Open, 0), 1, op(Op.Attribute, 1), 1], "ponclickx", 'forbidden: onclick="x"'],
  ["an address that runs code", [op(Op.Name, 1), op(Op.Name, 4), op(Op.Open, 0), 1, op(Op.Attribute, 1), 13], "ahrefjavascript:1;", "forbidden: href"],
  ["a handler as a flag", [op(Op.Name, 1), op(Op.Name, 7), op(Op.Open, 0), 1, op(Op.Flag, 1), 1], "ponclick", "forbidden"],
  ["an attribute of the root", [op(Op.Name, 3), op(Op.Attribute, 0), 1], "srcx", "the root is the page's"],
  ["the root's classes", [op(Op.Class, 1)], "x", "the root is the page's"],
  ["removing the root", [op(Op.Remove, 0)], "", "the root is the page's"],
  ["moving the root", [op(Op.Hold), op(Op.Move, 0), 0], "", "the root is the page's"],
  ["a copy of the root", [op(Op.Copy, 0), 5], "", "the root is the page's"],
  ["leaving the root", [op(Op.Close)], "", "the root is left"],
  ["a node that is not there", [op(Op.At, 9)], "", "no node 9"],
  ["putting nothing", [op(Op.Put, 0), 0], "", "nothing is held"],
  ["texts that are missing", [op(Op.Text, 5)], "ab", "texts are missing"],
  ["a command that is none", [99], "", "no command 99"],
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
