import { expect, test } from "vitest";
import { place } from "../src/image";
import { lifted, registry, unpacked } from "../src/more";

const DIGEST = "sha256:" + "0123456789abcdef".repeat(4);
const BASE = "https://example.org/app/index.html";

test("a reference is an address, with the digest it must have", async () => {
  const plain = await place("images/counter.json", BASE);
  expect(plain.url).toBe("https://example.org/app/images/counter.json");
  expect(plain.digest).toBeUndefined();
  expect(plain.blob(DIGEST)).toBe(`https://example.org/app/images/blobs/${DIGEST.replace(":", "/")}.wasm`);
  const pinned = await place(`counter.json#${DIGEST}`, BASE);
  expect(pinned).toMatchObject({ url: "https://example.org/app/counter.json", digest: DIGEST });
});

test("what is no address of an image is refused", async () => {
  for (const text of ["javascript:alert(1)", "data:,x", "counter.json#sha256:12", "counter.json#top", "http://[", "oci://", "oci://host", "oci://host/Name", "oci://host/a:b:c", `oci://host/a@${DIGEST.slice(1)}`]) {
    await expect(place(text, BASE), text).rejects.toMatchObject({ code: "reference" });
  }
});

test("a registry is spoken to in clear text on this machine only", () => {
  expect(registry("oci://registry.example/a/b:v1").url).toBe("https://registry.example/v2/a/b/manifests/v1");
  expect(registry("oci://localhost:5000/a").url).toBe("http://localhost:5000/v2/a/manifests/latest");
  const pinned = registry(`oci://h:1/a:v1@${DIGEST}`);
  expect(pinned).toMatchObject({ url: `https://h:1/v2/a/manifests/${DIGEST}`, digest: DIGEST });
  expect(pinned.blob(DIGEST)).toBe(`https://h:1/v2/a/blobs/${DIGEST}`);
});

test("the core module of a component is found, and a cut component is refused", () => {
  const core = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const bytes = new Uint8Array([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 0, 2, 1, 65, 1, core.length, ...core]);
  expect([...lifted(bytes)]).toEqual(core);
  for (let length = 8; length < 12; length++) expect(() => lifted(bytes.slice(0, length)), `${length}`).toThrow("no core module");
});

test("a bundle is taken apart, and what is none is told", () => {
  const index = new TextEncoder().encode(JSON.stringify({ "a.json": [DIGEST, 0, 2], [DIGEST]: [DIGEST, 2, 1] }));
  const bytes = new Uint8Array(4 + index.length + 3);
  new DataView(bytes.buffer).setUint32(0, index.length, true);
  bytes.set(index, 4);
  bytes.set([7, 8, 9], 4 + index.length);
  const pieces = unpacked(bytes, "x");
  expect(pieces.map(([name, , piece]) => [name, [...piece]])).toEqual([["a.json", [7, 8]], [DIGEST, [9]]]);
  for (const bad of [[], [1, 0, 0, 0], [2, 0, 0, 0, 123, 33], [255, 255, 255, 255, 0]]) {
    expect(() => unpacked(new Uint8Array(bad), "x")).toThrow("x is no bundle");
  }
});
