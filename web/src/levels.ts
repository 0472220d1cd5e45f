/** Components in threads and documents of their own, in a file of its own: for pages that have such. */
import type { Component, Start } from "./component";
import { Failure, failure } from "./failure";
import type { FromFrame, ToFrame } from "./frame";
import type { Image } from "./image";
import type { FromWorker, ToWorker } from "./worker";

/** Starts a component in a worker or a frame. */
export const start = (image: Image, how: Start): Component => {
  if (how.level !== "worker" && how.level !== "frame") throw new Failure("reference", `level="${String(how.level)}" is none of instance, worker, frame`);
  if (Object.keys(how.imports).length) throw new Failure("import", "functions of the page can be imported at the level `instance` only");
  return how.level === "worker" ? threaded(image, how) : framed(image, how);
};

/** What starting a thread or a document may take on a slow machine, before its first event. */
const BEGINNING_MS = 30_000;

/** Watches what runs elsewhere: it must be ready at last, then answer each event within its limit. */
const watch = (limit: number, end: () => void, failed: (failure: Failure) => void) => {
  let open = 1;
  let allowed = BEGINNING_MS;
  let ended = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wind = (): void => {
    clearTimeout(timer);
    if (open && !ended) timer = setTimeout(() => watched.fail(new Failure("time", `the component did not answer within ${allowed} ms and was ended`)), allowed);
  };
  const watched = {
    asked() {
      if (!open++) wind();
    },
    answered() {
      allowed = limit;
      open--;
      wind();
    },
    end() {
      ended = true;
      wind();
      end();
    },
    fail(failure: Failure) {
      if (ended) return;
      watched.end();
      failed(failure);
    },
  };
  wind();
  return watched;
};

const threaded = ({ module }: Image, { limits, home, show, failed }: Start): Component => {
  const worker = new Worker(new URL("worker.js", home), { type: "module" });
  const watched = watch(limits.time, () => worker.terminate(), failed);
  const sent: number[] = [];
  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    watched.answered();
    if ("code" in data) return watched.fail(new Failure(data.code, data.message));
    try {
      // It answers in turn.
      if ("words" in data) show(data, sent.shift()!);
    } catch (error) {
      watched.fail(failure(error));
    }
  };
  worker.onerror = () => watched.fail(new Failure("network", `the component's thread cannot be started from ${home}worker.js`));
  worker.postMessage({ module, limits } satisfies ToWorker);
  return {
    send(message, argument = 0, detail = 0, text = "") {
      watched.asked();
      sent.push(message);
      worker.postMessage({ event: [message, argument, detail, text] } satisfies ToWorker);
    },
    sleep() {},
    end: watched.end,
    bytes: 0,
  };
};

const framed = ({ bytes }: Image, { limits, home, top, host, failed, ask, show }: Start): Component => {
  const frame = document.createElement("iframe");
  // Without allow-same-origin: its origin is its own, whatever its address.
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "display:block;border:0;width:100%;height:0";
  const { port1: port, port2 } = new MessageChannel();
  const watched = watch(limits.time, () => host.remove(), failed);
  const told = (data: FromFrame): void => {
    if ("height" in data) frame.style.height = data.height + "px";
    else if ("began" in data) watched.asked();
    else if ("ask" in data) ask(...data.ask);
    else if ("code" in data) watched.fail(new Failure(data.code, data.message));
    else {
      watched.answered();
      if (!("shown" in data)) return;
      // What stood there until now: another version, or what a server has drawn.
      for (const child of [...top.childNodes]) if (child !== host) child.remove();
      show(undefined, data.shown);
    }
  };
  port.onmessage = ({ data }: MessageEvent<FromFrame>) => {
    try {
      told(data);
    } catch (error) {
      watched.fail(failure(error));
    }
  };
  frame.onload = () => frame.contentWindow!.postMessage({ bytes, limits } satisfies ToFrame, "*", [port2]);
  frame.src = new URL("frame.html", home).href;
  host.append(frame);
  // Its document is only loaded where it stands on the page, and anew if it is moved.
  top.append(host);
  return {
    send(...event) {
      port.postMessage(event);
    },
    sleep() {},
    end: watched.end,
    bytes: 0,
  };
};
