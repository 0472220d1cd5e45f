/**
 * What few pages need, in a file of its own: failures told to people, successors, what a server has drawn,
 * hibernation, registries, bundles, large modules, components of WIT.
 */
import { Failure, said } from "./failure";
import type { Place } from "./image";

export { adopted } from "./adopt";
export { restarted, saved, shown } from "./life";
export { explained } from "./explain";
export { lifted } from "./lifted";
export { hibernation } from "./hibernation";

/** Reads `oci://HOST/NAME[:TAG][@DIGEST]`. */
export const registry = (reference: string): Place => {
  const parts = /^oci:\/\/([^/]+)\/([a-z0-9._/-]+?)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(reference);
  if (!parts) throw new Failure("reference", `"${reference}" is not oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:…`);
  const [, host, name, tag = "latest", digest] = parts;
  const scheme = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host!) ? "http" : "https";
  const top = `${scheme}://${host}/v2/${name}/`;
  return { url: `${top}manifests/${digest ?? tag}`, digest, blob: (blob) => `${top}blobs/${blob}` };
};

/** Asks again with what a registry gives to everyone (distribution specification, token authentication). */
export const authorized = async (response: Response, headers: Record<string, string>): Promise<Response> => {
  const challenge = response.headers.get("www-authenticate") ?? "";
  const part = (name: string): string => new RegExp(name + '="([^"]*)"').exec(challenge)?.[1] ?? "";
  const query = new URLSearchParams({ service: part("service"), scope: part("scope") });
  const given = (await (await fetch(`${part("realm")}?${query}`)).json()) as { token?: string; access_token?: string };
  return fetch(response.url, { headers: { ...headers, authorization: "Bearer " + (given.token ?? given.access_token) } });
};

/** Where pieces are put, and how they are had: the host's own. */
interface Host {
  readonly place: (reference: string, base: string) => Promise<Place>;
  readonly fetched: (url: string, digest?: string) => Promise<Uint8Array<ArrayBuffer>>;
  readonly check: (bytes: Uint8Array<ArrayBuffer>, digest: string, what: string) => Promise<void>;
  readonly bundled: Map<string, Uint8Array<ArrayBuffer>>;
}

/** Takes a bundle in. */
export const bundle = async (reference: string, base: string, { place, fetched, check, bundled }: Host): Promise<void> => {
  const { url, digest } = await place(reference, base);
  for (const [name, digest_, piece] of unpacked(await fetched(url, digest), url)) {
    await check(piece, digest_, name);
    bundled.set(name === digest_ ? digest_ : new URL(name, url).href, piece);
  }
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
