/** A component in its own instance and memory on this thread; idle ones give their memory back. */
import { Failure, failure } from "./failure";
import type { Patch } from "./protocol";

/** What a page lets a component import: by module, then by name. None unless told. */
export type Imports = Record<string, Record<string, WebAssembly.ImportValue>>;

/** What a component may use. */
export interface Limits {
  /** Milliseconds for one event. */
  readonly time: number;
  /** Bytes of memory. */
  readonly memory: number;
}

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly event: (message: number, argument: number, detail: number, length: number) => number;
  readonly room?: (length: number) => number;
}

/** Chromium gives a process about 125 memories; pages have other uses for some. */
export const MOST_LIVE = 64;
const awake = new Set<Runtime>();
/** Instances whose component sleeps: another of the same module takes one over. */
const spare = new Map<WebAssembly.Module, Exports[]>();
let spares = 0;
/** The memory of a module that has just been instantiated. */
const fresh = new Map<WebAssembly.Module, Picture>();

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** One component. Its whole state is its memory, so it can sleep between two events. */
export class Runtime {
  readonly #module: WebAssembly.Module;
  readonly #imports: Imports;
  readonly #limits: Limits;
  #live: Exports | undefined;
  readonly #imported: boolean;
  #saved: Picture | undefined;

  constructor(module: WebAssembly.Module, imports: Imports, limits: Limits) {
    const wanted = WebAssembly.Module.imports(module);
    for (const { module: from, name } of wanted) {
      if (!Object.hasOwn(imports, from) || !Object.hasOwn(imports[from]!, name)) {
        throw new Failure("import", `the component imports ${from}.${name}, which this page does not grant`);
      }
    }
    const names = WebAssembly.Module.exports(module).map((one) => one.name);
    if (!names.includes("event") || !names.includes("memory")) {
      throw new Failure("wasm", "no component of a page: the module does not export `event` and `memory`");
    }
    this.#module = module;
    this.#imported = wanted.length > 0;
    this.#imports = imports;
    this.#limits = limits;
  }

  /** Whether it has no memory of its own at the moment. */
  get asleep(): boolean {
    return !this.#live;
  }

  /** Bytes of its memory, or of what is kept of it while it sleeps. */
  get bytes(): number {
    return this.#live?.memory.buffer.byteLength ?? this.#saved?.bytes.length ?? 0;
  }

  /** Takes an event in and gives back what is to be shown. The words are only good until the next call. */
  call(message: number, argument = 0, detail = 0, text = ""): Patch {
    const live = this.#awake();
    const began = performance.now();
    let length = 0;
    try {
      if (text && live.room) {
        const bytes = encoder.encode(text);
        length = bytes.length;
        const room = live.room(length) >>> 0;
        // Only now: a call may have moved the memory.
        new Uint8Array(live.memory.buffer, room, length).set(bytes);
      }
      const at = live.event(message, argument, detail, length) >>> 0;
      const head = new Uint32Array(live.memory.buffer, at, 4);
      const words = new Uint32Array(live.memory.buffer, head[0]!, head[1]!);
      const patch = { words, text: decoder.decode(new Uint8Array(live.memory.buffer, head[2]!, head[3]!)) };
      const bytes = live.memory.buffer.byteLength;
      if (bytes > this.#limits.memory) {
        throw new Failure("memory", `it has ${bytes} bytes of memory, and ${this.#limits.memory} is its limit`);
      }
      const spent = performance.now() - began;
      if (spent > this.#limits.time) {
        throw new Failure("time", `it took ${Math.round(spent)} ms for an event, and ${this.#limits.time} is its limit`);
      }
      return patch;
    } catch (error) {
      // Its memory may be in any state.
      this.end();
      throw failure(error);
    }
  }

  /** Gives its memory back; the next call restores it. */
  sleep(): void {
    const live = this.#live;
    if (!live) return;
    this.#saved = picture(live.memory);
    this.end();
    // With imports an instance may be known to the page by more than its memory.
    if (this.#imported) return;
    const pool = spare.get(this.#module) ?? [];
    pool.push(live);
    spare.set(this.#module, pool);
    spares++;
  }

  /** Ends it for good. */
  end(): void {
    this.#live = undefined;
    awake.delete(this);
  }

  #awake(): Exports {
    awake.delete(this);
    if (!this.#live) {
      // The one that was called longest ago sleeps first.
      if (awake.size >= MOST_LIVE) awake.values().next().value!.sleep();
      const wanted = this.#saved ?? fresh.get(this.#module);
      let live = wanted && spare.get(this.#module)?.pop();
      if (live) spares--;
      else {
        if (awake.size + spares >= MOST_LIVE) drop();
        live = new WebAssembly.Instance(this.#module, this.#imports).exports as unknown as Exports;
        if (!wanted && !this.#imported) fresh.set(this.#module, picture(live.memory));
      }
      if (wanted) restore(live.memory, wanted);
      this.#saved = undefined;
      this.#live = live;
    }
    awake.add(this);
    return this.#live;
  }
}

/** What is in a memory, without the zeros at both ends. */
interface Picture {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly pages: number;
}

const picture = ({ buffer }: WebAssembly.Memory): Picture => {
  const words = new Uint32Array(buffer);
  let from = 0;
  let to = words.length;
  while (to && !words[to - 1]) to--;
  while (from < to && !words[from]) from++;
  return { bytes: new Uint8Array(buffer.slice(from * 4, to * 4)), from: from * 4, pages: words.length >> 14 };
};

const restore = (memory: WebAssembly.Memory, { bytes, from, pages }: Picture): void => {
  const missing = pages - memory.buffer.byteLength / 65536;
  if (missing > 0) memory.grow(missing);
  const all = new Uint8Array(memory.buffer);
  all.fill(0, 0, from);
  all.set(bytes, from);
  all.fill(0, from + bytes.length);
};

/** Lets a spare instance go. */
const drop = (): void => {
  for (const pool of spare.values()) {
    if (pool.pop()) {
      spares--;
      return;
    }
  }
};
