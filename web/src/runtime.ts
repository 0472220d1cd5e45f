/** A component in its own instance and memory on this thread. */
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

/** What a module of a component exports. */
export interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly event: (message: number, argument: number, detail: number, length: number) => number;
  readonly room?: (length: number) => number;
}

/** What is in a memory, without the zeros at both ends. */
export interface Picture {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly pages: number;
}

/** Those that have a memory; the one that was called longest ago is the first. */
export const awake = new Set<Runtime>();

/** How idle ones give their memory back: what `hibernation` brings, for pages that have many. */
export const bed: { sleep?: (runtime: Runtime) => void; wake?: (runtime: Runtime) => Exports } = {};

export const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** One component. Its whole state is its memory, so it can sleep between two events. */
export class Runtime {
  readonly module: WebAssembly.Module;
  readonly imports: Imports;
  readonly #limits: Limits;
  /** What runs, unless it sleeps. */
  live: Exports | undefined;
  /** What is kept of it while it sleeps. */
  saved: Picture | undefined;

  constructor(module: WebAssembly.Module, imports: Imports, limits: Limits) {
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      if (!Object.hasOwn(imports, from) || !Object.hasOwn(imports[from]!, name)) {
        throw new Failure("import", `${from}.${name}`);
      }
    }
    this.module = module;
    this.imports = imports;
    this.#limits = limits;
  }

  /** Bytes of its memory, or of what is kept of it while it sleeps. */
  get bytes(): number {
    return this.live?.memory.buffer.byteLength ?? this.saved?.bytes.length ?? 0;
  }

  /** Takes an event in and gives back what is to be shown. The words are only good until the next call. */
  call(message: number, argument = 0, detail = 0, text = ""): Patch {
    awake.delete(this);
    const live = (this.live ??= bed.wake ? bed.wake(this) : this.instantiate());
    awake.add(this);
    const began = performance.now();
    const { memory } = live;
    let length = 0;
    try {
      if (text && live.room) {
        const bytes = encoder.encode(text);
        length = bytes.length;
        const room = live.room(length) >>> 0;
        // Only now: a call may have moved the memory.
        new Uint8Array(memory.buffer, room, length).set(bytes);
      }
      const at = live.event(message, argument, detail, length) >>> 0;
      const { buffer } = memory;
      const head = new Uint32Array(buffer, at, 4);
      const patch = {
        words: new Uint32Array(buffer, head[0]!, head[1]!),
        text: decoder.decode(new Uint8Array(buffer, head[2]!, head[3]!)),
      };
      if (buffer.byteLength > this.#limits.memory) {
        throw new Failure("memory", `${buffer.byteLength} > ${this.#limits.memory}`);
      }
      const spent = performance.now() - began;
      if (spent > this.#limits.time) {
        throw new Failure("time", `${spent | 0} > ${this.#limits.time}`);
      }
      return patch;
    } catch (error) {
      // Its memory may be in any state.
      this.end();
      throw failure(error);
    }
  }

  /** Gives its memory back, once `hibernation` is there; the next call restores it. */
  sleep(): void {
    bed.sleep?.(this);
  }

  /** Ends it for good. */
  end(): void {
    this.live = undefined;
    awake.delete(this);
  }

  /** A new instance of its module. */
  instantiate(): Exports {
    const live = new WebAssembly.Instance(this.module, this.imports).exports as unknown as Partial<Exports>;
    if (!live.event || !live.memory) throw new Failure("wasm", "");
    return live as Exports;
  }
}
