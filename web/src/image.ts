/** From a reference to a compiled module: fetched, checked against its digest, kept. */
import { Failure, said } from "./failure";
import { decoder } from "./runtime";

type Bytes = Uint8Array<ArrayBuffer>;

/** The most that is read of one manifest or module. */
const MOST_BYTES = 64 << 20;
/** Compiled while it comes, from so many bytes on: below, that takes longer than it saves. */
const LARGE_BYTES = 1 << 20;

/** A module that was checked, and what it came from. */
export interface Image {
  /** Of the module, as `sha256:…`; two references may have the same. */
  readonly digest: string;
  /** Compiled once for all instances. */
  readonly module: WebAssembly.Module;
  /** As they were checked; a frame of another origin compiles them itself. */
  readonly bytes: Bytes;
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
const bundled = new Map<string, Bytes>();

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
  if (!url?.protocol.startsWith("http") || (digest && !isDigest(digest))) throw new Failure("reference", reference);
  url.hash = "";
  return {
    url: url.href,
    digest: digest || undefined,
    blob: (blob) => new URL(`blobs/${blob.replace(":", "/")}.wasm`, url).href,
  };
};

const isDigest = (text: unknown): text is string => /^sha256:[0-9a-f]{64}$/.test(text as string);

/** Fetches, checks and compiles an image; the same module is compiled once. */
export const load = (reference: string, base = document.baseURI): Promise<Image> => loaded(reference, base).catch(explained);

const explained = async (error: Failure): Promise<never> => {
  throw (await more()).explained(error);
};

/** The same; what it throws has no text yet for people. */
export const loaded = async (reference: string, base: string): Promise<Image> => {
  if (!globalThis.WebAssembly || !globalThis.crypto?.subtle) throw new Failure("unsupported", "");
  const { url, digest, blob } = await place(reference, base);
  const bytes = bundled.get(url) ?? (await fetched(url, digest));
  // A module in the place of its manifest.
  const layer = isWasm(bytes) ? { digest: await digestOf(bytes), size: 0 } : moduleOf(bytes, url);
  let image = images.get(layer.digest);
  if (!image) {
    image = compiled(layer.digest, layer.size, blob, layer.size ? bundled.get(layer.digest) : bytes);
    images.set(layer.digest, image);
    // What failed may be tried again.
    image.catch(() => images.delete(layer.digest));
  }
  return image;
};

const compiled = async (digest: string, size: number, blob: Place["blob"], there: Bytes | undefined): Promise<Image> => {
  let begun: Promise<WebAssembly.Module> | undefined;
  const come = async (response: Response): Promise<void> => {
    if (size > LARGE_BYTES) begun = (await more()).streamed(response);
  };
  const bytes = there ?? (await fetched(blob(digest), digest, size, come));
  try {
    // Of a component (WIT) its core module.
    const module = await (bytes[4] === 0x0d ? WebAssembly.compile((await more()).lifted(bytes)) : (begun ?? WebAssembly.compile(bytes)));
    return { digest, bytes, module };
  } catch (error) {
    throw new Failure("wasm", said(error), error);
  }
};

/** Takes a bundle in: one file with the manifests and modules of a page. */
export const loadBundle = async (reference: string, base = document.baseURI): Promise<void> =>
  (await more()).bundle(reference, base, { place, fetched, check, bundled }).catch(explained);

const isWasm = (bytes: Uint8Array): boolean => bytes[0] === 0 && bytes[1] === 0x61;

const digestOf = async (bytes: Bytes): Promise<string> =>
  "sha256:" + [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => (byte + 256).toString(16).slice(1)).join("");

const check = async (bytes: Bytes, digest: string, what: string): Promise<void> => {
  const own = await digestOf(bytes);
  if (own !== digest) throw new Failure("digest", `${what} has the digest ${own}, not ${digest}`);
};

/** The module's layer of a manifest (CNCF wasm artifact, or any image with one such layer). */
const moduleOf = (bytes: Uint8Array, url: string): { digest: string; size: number } => {
  try {
    const { layers } = JSON.parse(decoder.decode(bytes)) as { layers: { mediaType: string; digest: string; size: number }[] };
    const layer = layers.find((one) => one.mediaType === "application/wasm")!;
    if (isDigest(layer.digest) && layer.size > 0 && layer.size <= MOST_BYTES) return layer;
  } catch {}
  throw new Failure("manifest", url);
};

/**
 * A manifest, module or bundle, checked where its digest is known. Such a one never changes: the browser need
 * not ask whether it has, and only if what it keeps is bad is it fetched anew. `come` is told when it comes.
 */
const fetched = async (url: string, digest?: string, most = MOST_BYTES, come?: (response: Response) => Promise<void>): Promise<Bytes> => {
  const once = async (cache: RequestCache): Promise<Bytes> => {
    const response = await get(url, cache);
    await come?.(response);
    const bytes = await read(response, most, url);
    if (digest) await check(bytes, digest, url);
    void keep(url, bytes, digest);
    return bytes;
  };
  return once(digest ? "force-cache" : "no-cache").catch((error: Failure) => {
    if (error.code !== "digest") throw error;
    return once("reload");
  });
};

/** For when there is no network. Not waited for; private windows may have no such place. */
const keep = async (url: string, bytes: Bytes, digest?: string): Promise<void> => {
  try {
    const cache = await caches.open("ounce");
    if (!digest || !(await cache.match(url))) await cache.put(url, new Response(bytes));
  } catch {}
};

const read = async (response: Response, most: number, url: string): Promise<Bytes> => {
  const reader = response.body!.getReader();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece; (piece = (await reader.read()).value); pieces.push(piece)) {
    if ((length += piece.length) > most) {
      void reader.cancel();
      throw new Failure("digest", `${url} is longer than the ${most} bytes it may have`);
    }
  }
  const all = new Uint8Array(length);
  for (const piece of pieces.reverse()) all.set(piece, (length -= piece.length));
  return all;
};

const get = async (url: string, cache: RequestCache): Promise<Response> => {
  const headers = { accept: "application/vnd.oci.image.manifest.v1+json, */*" };
  let response: Response | undefined;
  try {
    response = await fetch(url, { cache, headers });
    if (response.status === 401) response = await (await more()).authorized(response, headers);
  } catch (error) {
    response = await globalThis.caches?.match(url);
    if (!response) throw new Failure("network", url, error);
  }
  if (!response.ok) throw new Failure("network", `${url} answers ${response.status}`);
  return response;
};
