/**
 * What not every page needs, in a file of its own: grants, what a server has drawn, threads, frames, hibernation,
 * registries, bundles, large modules, components of WIT.
 */
import type { Component, Start } from "./component";
import { Failure, failure, said } from "./failure";
import type { FromFrame, ToFrame } from "./frame";
import type { Image, Place } from "./image";
import type { FromWorker, ToWorker } from "./worker";

export { adopted } from "./adopt";
export { Bus, bus, type Topics } from "./bus";
export { hibernation } from "./hibernation";
export { ask, type Asker, type Service, services } from "./services";

/** Reads `oci://HOST/NAME[:TAG][@DIGEST]`. */
export const registry = (reference: string): Place => {
  const parts = /^oci:\/\/([^/]+)\/([a-z0-9._/-]+?)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(reference);
  if (!parts) throw new Failure("reference", `"${reference}" is not oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:…`);
  const [, host, name, tag = "latest", digest] = parts;
  const scheme = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host!) ? "http" : "https";
  const top = `${scheme}://${host}/v2/${name}/`;
  return { url: `${top}manifests/${digest ?? tag}`, digest, blob: (blob) => `${top}blobs/${blob}` };
};

/** The authorization that a registry gives to everyone (distribution specification, token authentication). */
export const token = async (response: Response): Promise<string> => {
  const challenge = response.headers.get("www-authenticate") ?? "";
  const part = (name: string): string => new RegExp(name + '="([^"]*)"').exec(challenge)?.[1] ?? "";
  const query = new URLSearchParams({ service: part("service"), scope: part("scope") });
  const given = (await (await fetch(`${part("realm")}?${query}`)).json()) as { token?: string; access_token?: string };
  return "Bearer " + (given.token ?? given.access_token);
};

/** The pieces of a bundle: the length of its index, the index (`{name: [digest, offset, size]}`), the pieces. */
export const unpacked = (bytes: Uint8Array<ArrayBuffer>, url: string): [name: string, digest: string, piece: Uint8Array<ArrayBuffer>][] => {
  try {
    const start = 4 + new DataView(bytes.buffer).getUint32(0, true);
    const index = JSON.parse(new TextDecoder().decode(bytes.subarray(4, start))) as Record<string, [string, number, number]>;
    return Object.entries(index).map(([name, [digest, offset, size]]) => [name, digest, bytes.slice(start + offset, start + offset + size)]);
  } catch (error) {
    throw new Failure("manifest", `${url} is no bundle: ${said(error)}`, error);
  }
};

/** Compiles a module while it comes, whatever type its server calls it; the response itself is left to be read. */
export const streamed = (response: Response): Promise<WebAssembly.Module> => {
  const module = WebAssembly.compileStreaming(new Response(response.clone().body, { headers: { "content-type": "application/wasm" } }));
  // Not lost: it is waited for when the digest is right.
  module.catch(() => undefined);
  return module;
};

/** The first core module of a component (component model, binary format). */
export const lifted = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
  for (let at = 8; at < bytes.length; ) {
    const section = bytes[at++];
    let size = 0;
    for (let scale = 1, more = true; more; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      size += (byte & 127) * scale;
      more = byte > 127;
    }
    if (section === 1) return bytes.subarray(at, at + size);
    at += size;
  }
  throw new Failure("wasm", "the component has no core module");
};

/** Starts a component in a worker or a frame. */
export const start = (image: Image, how: Start): Component => {
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
  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    watched.answered();
    if ("code" in data) return watched.fail(new Failure(data.code, data.message));
    try {
      if ("words" in data) show(data);
    } catch (error) {
      watched.fail(failure(error));
    }
  };
  worker.onerror = () => watched.fail(new Failure("network", `the component's thread cannot be started from ${home}worker.js`));
  worker.postMessage({ module, limits } satisfies ToWorker);
  return {
    send(message, argument = 0, detail = 0, text = "") {
      watched.asked();
      worker.postMessage({ event: [message, argument, detail, text] } satisfies ToWorker);
    },
    sleep() {},
    end: watched.end,
    bytes: 0,
  };
};

const framed = ({ bytes }: Image, { limits, home, host, failed, ask, show }: Start): Component => {
  const frame = document.createElement("iframe");
  // Without allow-same-origin: its origin is its own, whatever its address.
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "display:block;border:0;width:100%;height:0";
  const { port1: port, port2 } = new MessageChannel();
  const watched = watch(limits.time, () => frame.remove(), failed);
  port.onmessage = ({ data }: MessageEvent<FromFrame>) => {
    if ("height" in data) frame.style.height = data.height + "px";
    else if ("began" in data) watched.asked();
    else if ("ask" in data) ask(...data.ask);
    else if ("code" in data) watched.fail(new Failure(data.code, data.message));
    else {
      watched.answered();
      if ("state" in data) show(data);
    }
  };
  frame.onload = () => frame.contentWindow!.postMessage({ bytes, limits } satisfies ToFrame, "*", [port2]);
  frame.src = new URL("frame.html", home).href;
  host.append(frame);
  return {
    send(...event) {
      port.postMessage(event);
    },
    sleep() {},
    end: watched.end,
    bytes: 0,
  };
};
