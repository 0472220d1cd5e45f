/** What the browser tests stand on: a server of a folder, and one Chromium. */
import { createServer, type Server, type ServerResponse } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";

/** All that a page of components needs, and nothing more. */
export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; frame-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'";

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  css: "text/css",
  json: "application/json",
  wasm: "application/wasm",
};

export interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

/** Serves a folder; `odd` answers first, and `undefined` leaves it to the folder. */
export class Site {
  readonly #server: Server;
  readonly asked: string[] = [];
  policy = POLICY;
  odd: (path: string) => Answer | undefined = () => undefined;

  private constructor(readonly folder: string) {
    this.#server = createServer((request, response) => void this.#answer(request.url ?? "/", response));
  }

  static async open(folder: string): Promise<Site> {
    const site = new Site(folder);
    await new Promise<void>((resolve) => site.#server.listen(0, "127.0.0.1", resolve));
    return site;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(url: string, response: ServerResponse): Promise<void> {
    const path = url.split("?")[0]!;
    this.asked.push(path);
    const extension = path.slice(path.lastIndexOf(".") + 1);
    const headers = { "content-type": TYPES[extension] ?? "application/octet-stream", "content-security-policy": this.policy };
    const odd = this.odd(path);
    if (odd) {
      response.writeHead(odd.status ?? 200, { ...headers, ...odd.headers }).end(odd.body ?? "");
      return;
    }
    try {
      const bytes = await readFile(join(this.folder, path));
      response.writeHead(200, headers).end(bytes);
    } catch {
      response.writeHead(404, headers).end("not found");
    }
  }
}

/** Starts the system's Chromium with a profile of its own. */
export const browser = async (): Promise<{ context: BrowserContext; close: () => Promise<void> }> => {
  const profile = await mkdtemp(join(tmpdir(), "ounce-web-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    headless: true,
    // Where several things are built at once, a start takes its time.
    timeout: 120_000,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-dev-shm-usage",
    ],
  });
  context.setDefaultTimeout(60_000);
  return {
    context,
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
};

/** A page with this body, and the host's script. */
export const html = (body: string, head = ""): Answer => ({
  headers: { "content-type": "text/html; charset=utf-8" },
  body: `<!doctype html><meta charset="utf-8"><title>t</title>${head}<script type="module" src="/ounce.js"></script>${body}`,
});

/** Waits until the element is `ready` or `failed`; what it then says of itself. */
export const settled = (page: Page, selector = "ounce-component"): Promise<{ status: string; text: string }> =>
  page
    .waitForFunction((selector) => {
      const element = document.querySelector(selector);
      const status = element?.getAttribute("status");
      return status === "ready" || status === "failed" ? { status, text: (element as HTMLElement).innerText } : undefined;
    }, selector)
    .then((handle) => handle.jsonValue() as Promise<{ status: string; text: string }>);
