/** Memories given back by components that are idle, and restored: Chromium allows a process about 125. */
import type { awake as all, bed as where, Exports, Picture, Runtime } from "./runtime";

/** Pages have other uses for some. */
export const MOST_LIVE = 64;

/** Lets the runtimes in `awake` sleep; `bed` is told how. */
export const hibernation = (awake: typeof all, bed: typeof where): void => {
  /** Instances whose component sleeps: another of the same module takes one over. */
  const spare = new Map<WebAssembly.Module, Exports[]>();
  let spares = 0;
  /** The memory of a module that has just been instantiated. */
  const fresh = new Map<WebAssembly.Module, Picture>();

  const sleep = (runtime: Runtime): void => {
    const { live, module } = runtime;
    if (!live) return;
    runtime.saved = picture(live.memory);
    runtime.end();
    // With imports an instance may be known to the page by more than its memory.
    if (hasImports(module)) return;
    const pool = spare.get(module) ?? [];
    pool.push(live);
    spare.set(module, pool);
    spares++;
  };

  const wake = (runtime: Runtime): Exports => {
    const { module } = runtime;
    // The one that was called longest ago sleeps first.
    while (awake.size >= MOST_LIVE) sleep(awake.values().next().value!);
    const wanted = runtime.saved ?? fresh.get(module);
    let live = wanted && spare.get(module)?.pop();
    if (live) spares--;
    else {
      if (awake.size + spares >= MOST_LIVE) drop();
      live = runtime.instantiate();
      if (!wanted && !hasImports(module)) fresh.set(module, picture(live.memory));
    }
    if (wanted) restore(live.memory, wanted);
    runtime.saved = undefined;
    return live;
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

  bed.sleep = sleep;
  bed.wake = wake;
};

const hasImports = (module: WebAssembly.Module): boolean => WebAssembly.Module.imports(module).length > 0;

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
