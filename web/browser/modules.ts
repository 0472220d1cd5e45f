/** Modules that no honest compiler writes: components by hand, in the text format. */
import wabt from "wabt";
import { Op } from "../src/protocol";

const assembler = await wabt();

/** Words and texts of a patch as a memory's data: the head at 16, words at 64, texts at 2048. */
const patch = (words: readonly number[], text: string): string => {
  const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => "\\" + byte.toString(16).padStart(2, "0")).join("");
  const bytes = new TextEncoder().encode(text);
  const list = (numbers: readonly number[]): string => hex(new Uint8Array(new Uint32Array(numbers).buffer));
  return `(data (i32.const 16) "${list([64, words.length, 2048, bytes.length])}")
    (data (i32.const 64) "${list(words)}")
    (data (i32.const 2048) "${hex(bytes)}")`;
};

/** A command with its first operand. */
export const op = (code: Op, a = 0): number => code | (a << 8);

/** A button that says `text` and sends message 1. */
export const button = (text: string): { words: number[]; text: string } => ({
  words: [op(Op.Name, 6), op(Op.Open, 0), 1, op(Op.Name, 5), op(Op.On, 1), 1, 0, op(Op.Text, text.length), op(Op.Close)],
  text: "buttonclick" + text,
});

/** A component that shows a patch at first, and at message 1 does `then`. */
export const component = (shown: { words: readonly number[]; text: string }, then = "(i32.const 40)", more = ""): Uint8Array => {
  const source = `(module
    ${more.includes("(import") ? more : ""}
    (memory (export "memory") 1)
    ${patch(shown.words, shown.text)}
    ${more.includes("(import") ? "" : more}
    (func (export "event") (param $message i32) (param i32 i32 i32) (result i32)
      (if (result i32) (i32.eq (local.get $message) (i32.const 0xffffffff))
        (then (i32.const 16))
        (else (if (result i32) (i32.eq (local.get $message) (i32.const 1))
          (then ${then})
          ;; Nothing is to be seen otherwise.
          (else (i32.const 40)))))))`;
  return new Uint8Array(assembler.parseWat("component.wat", source).toBinary({}).buffer);
};

/** Any module. */
export const module = (source: string): Uint8Array => new Uint8Array(assembler.parseWat("module.wat", source).toBinary({}).buffer);
