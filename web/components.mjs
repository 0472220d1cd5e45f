// Builds the examples and writes a static folder of them into target/site, as `ounce ship --to web` does.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
export const SITE = at("target/site/");
const TRIPLE = "wasm32-unknown-unknown";

/** Where cargo puts the module of an example. */
export const moduleOf = (name) => at(`../examples/${name}/target/${TRIPLE}/release/${name}.wasm`);

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

export const build = async (names = ["counter", "todomvc", "table"]) => {
  await rm(SITE, { recursive: true, force: true });
  await mkdir(SITE, { recursive: true });
  for (const name of names) {
    execFileSync("cargo", ["build", "--quiet", "--locked", "--release", "--target", TRIPLE], { cwd: at(`../examples/${name}`), stdio: "inherit" });
    await place(SITE, name, await readFile(moduleOf(name)));
  }
  for (const file of ["ounce.js", "more.js", "worker.js", "frame.js", "frame.html", "shell.js"]) await cp(at("dist/" + file), SITE + file);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
