/** A running component, whatever its level of isolation: the face, and the nearest level. */
import { type Failure, failure } from "./failure";
import type { Image } from "./image";
import type { Patch } from "./protocol";
import { type Imports, type Limits, Runtime } from "./runtime";

/** `instance`: own memory, this thread. `worker`: own thread, can be ended. `frame`: own origin and document. */
export type Level = "instance" | "worker" | "frame";

/** How a component is started. */
export interface Start {
  readonly level: Level;
  readonly limits: Limits;
  readonly imports: Imports;
  /** Beside what the worker's and the frame's files stand. */
  readonly home: string;
  /** Where it is shown: a frame by itself, the others when they have something to show. */
  readonly top: Element | ShadowRoot;
  /** What it is shown in. */
  readonly host: Element;
  /** Shows what it answers to a message; a frame has shown it already. */
  readonly show: (patch: Patch | undefined, message: number) => void;
  /** It has ended by its own fault, once. */
  readonly failed: (failure: Failure) => void;
  /** What a frame asks the page for. */
  readonly ask: (name: string, text: string, message: number) => void;
}

/** One that runs. */
export interface Component {
  send(message: number, argument?: number, detail?: number, text?: string): void;
  /** Gives memory back where that can be done; the next event wakes it. */
  sleep(): void;
  end(): void;
  /** Bytes of memory, where they are known. */
  readonly bytes: number;
}

/** Starts one on this thread. */
export const local = ({ module }: Image, { imports, limits, show, failed }: Start): Component => {
  const runtime = new Runtime(module, imports, limits);
  let ended = false;
  const waiting: Parameters<Component["send"]>[] = [];
  let busy = false;
  return {
    send(...event) {
      if (ended) return;
      waiting.push(event);
      // An event that comes while a patch is applied (blur, on removal) waits its turn.
      if (busy) return;
      busy = true;
      try {
        for (let next; (next = waiting.shift()) && !ended; ) show(runtime.call(...next), next[0]);
      } catch (error) {
        ended = true;
        runtime.end();
        failed(failure(error));
      } finally {
        busy = false;
      }
    },
    sleep: () => runtime.sleep(),
    end() {
      ended = true;
      runtime.end();
    },
    get bytes() {
      return runtime.bytes;
    },
  };
};
