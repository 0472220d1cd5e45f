// Has ounce build the examples, and gathers the folders that it serves into target/site.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
export const SITE = at("target/site/");
/** The program; a debug build does. */
export const OUNCE = process.env.OUNCE ?? at("../target/debug/ounce");
/** A store of its own. */
export const STORE = at("target/store");
export const EXAMPLES = ["counter", "table", "todomvc", "hundred"];
export const example = (name) => at("../examples/" + name);

export const sha256 = (bytes) => "sha256:" + createHash("sha256").update(bytes).digest("hex");

/** Writes a module and its manifest into a folder; gives the manifest's digest. */
export const place = async (folder, name, bytes) => {
  const digest = sha256(bytes);
  await mkdir(folder + "blobs/sha256", { recursive: true });
  await writeFile(`${folder}blobs/${digest.replace(":", "/")}.wasm`, bytes);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.wasm.config.v0+json", digest: sha256("{}"), size: 2 },
    layers: [{ mediaType: "application/wasm", digest, size: bytes.length }],
  });
  await writeFile(`${folder}${name}.json`, manifest);
  return sha256(manifest);
};

export const build = async () => {
  await rm(SITE, { recursive: true, force: true });
  await mkdir(SITE, { recursive: true });
  for (const name of EXAMPLES) {
    execFileSync(OUNCE, ["--store", STORE, "--quiet", "up", "--once", "--publish", "127.0.0.1:0:8080", example(name)], { stdio: ["ignore", "ignore", "inherit"] });
    await cp(example(name) + "/target/ounce-page/", SITE, { recursive: true });
  }
};

/** The module of an image in a folder. */
export const moduleIn = async (folder, name) => {
  const { layers } = JSON.parse(await readFile(`${folder}${name}.json`, "utf8"));
  return readFile(`${folder}blobs/${layers[0].digest.replace(":", "/")}.wasm`);
};

/** Prints what each module has, and fails where one is past its budget. */
const weigh = async () => {
  const budgets = JSON.parse(await readFile(at("budget.json"), "utf8"));
  for (const name of EXAMPLES) {
    const bytes = await moduleIn(SITE, name);
    const gzip = gzipSync(bytes, { level: 9 }).length;
    // As browsers get it of the server that ounce packs.
    const brotli = brotliCompressSync(bytes).length;
    console.log(`${name}.wasm: ${bytes.length} bytes, ${gzip} by gzip, ${brotli} by brotli`);
    if (brotli > (budgets[name + ".wasm"] ?? Infinity)) {
      console.error(`error: ${name}.wasm has ${brotli} bytes compressed, and ${budgets[name + ".wasm"]} is its budget`);
      process.exitCode = 1;
    }
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build();
  await weigh();
}
