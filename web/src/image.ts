/** From a reference to a compiled module: fetched, checked against its digest, kept. */
import { Failure, said } from "./failure";

/** The most that is read of one manifest or module. */
const MOST_BYTES = 64 << 20;
const CACHE = "ounce";
const WASM = "application/wasm";
const ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/json, " + WASM;

/** A module that was checked, and what it came from. */
export interface Image {
  /** Of the module, as `sha256:…`; two references may have the same. */
  readonly digest: string;
  /** Compiled once for all instances. */
  readonly module: WebAssembly.Module;
  /** As they were checked; a frame of another origin compiles them itself. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Where an image stands. */
export interface Place {
  /** Of its manifest, or of the module itself. */
  readonly url: string;
  /** The manifest's or module's digest, where the reference names it. */
  readonly digest: string | undefined;
  /** Where a blob stands. */
  readonly blob: (digest: string) => string;
}

const images = new Map<string, Promise<Image>>();
/** Blobs and manifests that came in a bundle: manifests by address, blobs by digest. */
const bundled = new Map<string, Uint8Array<ArrayBuffer>>();

/** What few pages need, fetched by those. */
export const more = (): Promise<typeof import("./more")> => import("./more");

/**
 * Reads a reference: `oci://HOST/NAME[:TAG][@DIGEST]` of a registry, else the address of a
 * manifest or module in a static folder, with `#sha256:…` to have it checked.
 */
export const place = async (reference: string, base: string): Promise<Place> => {
  if (reference.startsWith("oci:")) return (await more()).registry(reference);
  let url: URL | undefined;
  try {
    url = new URL(reference, base);
  } catch {}
  const digest = url?.hash.slice(1);
  if (!url?.protocol.startsWith("http") || (digest && !isDigest(digest))) throw new Failure("reference", `"${reference}" is no address of an image`);
  url.hash = "";
  return {
    url: url.href,
    digest: digest || undefined,
    blob: (blob) => new URL(`blobs/${blob.replace(":", "/")}.wasm`, url).href,
  };
};

const isDigest = (text: unknown): text is string => /^sha256:[0-9a-f]{64}$/.test(text as string);

/** Fetches, checks and compiles an image; the same module is compiled once. */
export const load = async (reference: string, base = document.baseURI): Promise<Image> => {
  if (typeof WebAssembly !== "object" || !globalThis.crypto?.subtle) {
    throw new Failure(
      "unsupported",
      globalThis.isSecureContext === false
        ? "components need https, or localhost"
        : "this browser is too old to run WebAssembly components",
    );
  }
  const at = await place(reference, base);
  const bytes = bundled.get(at.url) ?? (await fetched(at.url, at.digest));
  if (isWasm(bytes)) {
    const digest = at.digest ?? (await digestOf(bytes));
    return once(digest, async () => ({ digest, bytes, module: await compiled(bytes) }));
  }
  const { digest, size } = moduleOf(bytes, at.url);
  return once(digest, async () => {
    const there = bundled.get(digest);
    if (there) return { digest, bytes: there, module: await compiled(there) };
    return streamed(at.blob(digest), digest, size);
  });
};

const once = (digest: string, make: () => Promise<Image>): Promise<Image> => {
  let image = images.get(digest);
  if (!image) {
    images.set(digest, (image = make()));
    // What failed may be tried again.
    image.catch(() => images.delete(digest));
  }
  return image;
};

/** Takes a bundle in: one file with the manifests and modules of a page. */
export const loadBundle = async (reference: string, base = document.baseURI): Promise<void> => {
  const at = await place(reference, base);
  const bytes = await fetched(at.url, at.digest);
  for (const [name, digest, piece] of (await more()).unpacked(bytes, at.url)) {
    await check(piece, digest, name);
    bundled.set(name === digest ? digest : new URL(name, at.url).href, piece);
  }
};

const isWasm = (bytes: Uint8Array): boolean => bytes[0] === 0 && bytes[1] === 0x61;

const hex = (bytes: ArrayBuffer): string => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const digestOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  "sha256:" + hex(await crypto.subtle.digest("SHA-256", bytes));

const check = async (bytes: Uint8Array<ArrayBuffer>, digest: string, what: string): Promise<void> => {
  const own = await digestOf(bytes);
  if (own !== digest) throw new Failure("digest", `${what} has the digest ${own}, not ${digest}`);
};

/** The module's layer of a manifest (CNCF wasm artifact, or any image with one such layer). */
const moduleOf = (bytes: Uint8Array, url: string): { digest: string; size: number } => {
  try {
    const { layers } = JSON.parse(new TextDecoder().decode(bytes)) as { layers: { mediaType: string; digest: string; size: number }[] };
    const layer = layers.find((one) => one.mediaType === WASM)!;
    if (isDigest(layer.digest) && layer.size >= 0 && layer.size <= MOST_BYTES) return layer;
  } catch {}
  throw new Failure("manifest", `${url} is no module, and no manifest with a layer of type ${WASM}`);
};

const refused = (error: unknown): Failure =>
  /unsafe-eval/.test(said(error))
    ? new Failure("csp", "the Content-Security-Policy needs script-src 'wasm-unsafe-eval'", error)
    : new Failure("wasm", "no valid module: " + said(error), error);

const isComponent = (bytes: Uint8Array): boolean => bytes[4] === 0x0d;

/** Compiles what is at hand; of a component (WIT) its core module. */
const compiled = async (bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> => {
  try {
    return await WebAssembly.compile(isComponent(bytes) ? (await more()).lifted(bytes) : bytes);
  } catch (error) {
    throw refused(error);
  }
};

const kept = async (): Promise<Cache | undefined> => {
  try {
    return await caches.open(CACHE);
  } catch {
    // Private windows may have none: all works but being offline.
    return undefined;
  }
};

/** A manifest or bundle: asked for anew, unless its digest is known; from the cache when offline. */
const fetched = async (url: string, digest?: string): Promise<Uint8Array<ArrayBuffer>> => {
  const cache = await kept();
  const old = await cache?.match(url);
  if (old && digest) {
    const bytes = await read(old, MOST_BYTES, url);
    if ((await digestOf(bytes)) === digest) return bytes;
  }
  let response: Response;
  try {
    response = await get(url);
  } catch (error) {
    if (!old || digest) throw error;
    return read(old, MOST_BYTES, url);
  }
  const bytes = await read(response, MOST_BYTES, url);
  if (digest) await check(bytes, digest, url);
  await cache?.put(url, new Response(bytes)).catch(() => undefined);
  return bytes;
};

/** A module, compiled while it comes and handed out when its digest is right. */
const streamed = async (url: string, digest: string, size: number): Promise<Image> => {
  const cache = await kept();
  const old = await cache?.match(url);
  const response = old ?? (await get(url));
  const [one, other] = response.body!.tee();
  const module = WebAssembly.compileStreaming(new Response(one, { headers: { "content-type": WASM } }));
  // Not lost: it is waited for when the digest is right.
  module.catch(() => undefined);
  try {
    const bytes = await read(new Response(other), size, url);
    await check(bytes, digest, url);
    if (!old) await cache?.put(url, new Response(bytes)).catch(() => undefined);
    if (isComponent(bytes)) return { digest, bytes, module: await compiled(bytes) };
    return {
      digest,
      bytes,
      module: await module.catch((error: unknown) => {
        throw refused(error);
      }),
    };
  } catch (error) {
    // What is kept and bad is fetched anew the next time.
    await cache?.delete(url);
    throw error;
  }
};

const read = async (response: Response, most: number, url: string): Promise<Uint8Array<ArrayBuffer>> => {
  const reader = response.body!.getReader();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > most) {
      await reader.cancel();
      throw new Failure("digest", `${url} is longer than the ${most} bytes it may have`);
    }
    pieces.push(value as Uint8Array<ArrayBuffer>);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
};

const get = async (url: string): Promise<Response> => {
  const ask = (authorization?: string): Promise<Response> => fetch(url, { headers: { accept: ACCEPT, ...(authorization && { authorization }) } });
  let response: Response;
  try {
    response = await ask();
    if (response.status === 401) response = await ask(await (await more()).token(response));
  } catch (error) {
    throw new Failure(
      "network",
      url +
        (new URL(url).origin === globalThis.origin
          ? " cannot be reached, and is not in the cache"
          : " cannot be reached, or lets no other site read it (CORS), as Docker Hub; a static folder always works: ounce ship IMAGE --to web"),
      error,
    );
  }
  if (!response.ok) throw new Failure("network", `${url} answers ${response.status}`);
  return response;
};
