/** A document with one component in it, of an origin of its own: it reaches nothing of the page. */
import { type FailureCode, failure } from "./failure";
import { lifted } from "./lifted";
import { type Limits, Runtime } from "./runtime";
import { Surface } from "./surface";

/** The first message, with a port. On the port: events, as lists. */
export interface ToFrame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly limits: Limits;
}
/** What it tells the page. */
export type FromFrame =
  | { readonly began: true }
  | { readonly ready: true }
  | { readonly shown: number }
  | { readonly ask: [name: string, text: string, message: number] }
  | { readonly height: number }
  | { readonly code: FailureCode; readonly message: string };

type Event = [message: number, argument: number, detail: number, text: string];

onmessage = async ({ data, ports }: MessageEvent<ToFrame>) => {
  onmessage = null;
  const port = ports[0]!;
  const tell = (what: FromFrame): void => port.postMessage(what);
  const fail = (error: unknown): void => {
    const { code, message } = failure(error);
    tell({ code, message });
  };
  try {
    const runtime = new Runtime(await WebAssembly.compile(data.bytes[4] === 0x0d ? lifted(data.bytes) : data.bytes), {}, data.limits);
    const root = document.body;
    root.style.cssText = "margin:0;font:16px system-ui,sans-serif";
    const waiting: Event[] = [];
    let busy = false;
    const send = (message: number, argument = 0, detail = 0, text = ""): void => {
      waiting.push([message, argument, detail, text]);
      if (busy) return;
      busy = true;
      try {
        for (let next; (next = waiting.shift()); ) {
          // Told before: the page ends what does not come back.
          tell({ began: true });
          surface.apply(runtime.call(...next));
          surface.settle();
          tell({ shown: next[0] });
        }
      } catch (error) {
        fail(error);
      } finally {
        busy = false;
      }
    };
    const surface = new Surface(root, send, (...ask) => tell({ ask }));
    port.onmessage = ({ data }: MessageEvent<Event>) => send(...data);
    new ResizeObserver(() => tell({ height: root.offsetHeight })).observe(root);
    tell({ ready: true });
  } catch (error) {
    fail(error);
  }
};
