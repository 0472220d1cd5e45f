/** The thread of one component: takes events, answers with patches. Ended from outside. */
import { type FailureCode, failure } from "./failure";
import { type Limits, Runtime } from "./runtime";

/** What a worker is told. */
export type ToWorker =
  | { readonly module: WebAssembly.Module; readonly limits: Limits }
  | { readonly event: readonly [message: number, argument: number, detail: number, text: string] };
/** What it answers, once to each. */
export type FromWorker =
  | { readonly ready: true }
  | { readonly words: Uint32Array; readonly text: string }
  | { readonly code: FailureCode; readonly message: string };

let runtime: Runtime | undefined;

onmessage = ({ data }: MessageEvent<ToWorker>) => {
  try {
    if ("module" in data) {
      runtime = new Runtime(data.module, {}, data.limits);
      postMessage({ ready: true } satisfies FromWorker);
      return;
    }
    const { words, text } = runtime!.call(...data.event);
    const copy = words.slice();
    postMessage({ words: copy, text } satisfies FromWorker, { transfer: [copy.buffer] });
  } catch (error) {
    const { code, message } = failure(error);
    postMessage({ code, message } satisfies FromWorker);
  }
};
