/** From a reference to a compiled module: fetched, checked against its digest, kept. */
import { Failure, said } from "./failure";

type Bytes = Uint8Array<ArrayBuffer>;

/** The most that is read of one manifest or module. */
const MOST_BYTES = 64 << 20;
/** Compiled while it comes, from so many bytes on: below, that takes longer than it saves. */
const LARGE_BYTES = 1 << 20;
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
    let module: Promise<WebAssembly.Module> | undefined;
    const bytes =
      bundled.get(digest) ??
      (await fetched(at.blob(digest), digest, size, async (response) => {
        if (size > LARGE_BYTES) module = (await more()).streamed(response);
      }));
    return { digest, bytes, module: await compiled(bytes, module) };
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

const digestOf = async (bytes: Bytes): Promise<string> =>
  "sha256:" + [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const check = async (bytes: Bytes, digest: string, what: string): Promise<void> => {
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

/** Compiles what is at hand, unless that was begun; of a component (WIT) its core module. */
const compiled = async (bytes: Bytes, begun?: Promise<WebAssembly.Module>): Promise<WebAssembly.Module> => {
  try {
    return await (bytes[4] === 0x0d ? WebAssembly.compile((await more()).lifted(bytes)) : (begun ?? WebAssembly.compile(bytes)));
  } catch (error) {
    throw /unsafe-eval/.test(said(error))
      ? new Failure("csp", "the Content-Security-Policy needs script-src 'wasm-unsafe-eval'", error)
      : new Failure("wasm", "no valid module: " + said(error), error);
  }
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
  if (!digest) return once("no-cache");
  return once("force-cache").catch((error: unknown) => {
    if ((error as Failure).code !== "digest") throw error;
    return once("reload");
  });
};

/** For when there is no network. Not waited for; private windows may have no such place. */
const keep = async (url: string, bytes: Bytes, digest?: string): Promise<void> => {
  try {
    const cache = await caches.open(CACHE);
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
  const ask = (authorization?: string): Promise<Response> => fetch(url, { cache, headers: { accept: ACCEPT, ...(authorization && { authorization }) } });
  let response: Response | undefined;
  try {
    response = await ask();
    if (response.status === 401) response = await ask(await (await more()).token(response));
  } catch (error) {
    response = await globalThis.caches?.match(url).catch(() => undefined);
    if (!response) {
      throw new Failure(
        "network",
        url +
          (new URL(url).origin === globalThis.origin
            ? " cannot be reached, and is not in the cache"
            : " cannot be reached, or lets no other site read it (CORS), as Docker Hub; a static folder always works: ounce ship IMAGE --to web"),
        error,
      );
    }
  }
  if (!response.ok) throw new Failure("network", `${url} answers ${response.status}`);
  return response;
};
