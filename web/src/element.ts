/** `<ounce-component src="…">`: an image, shown and isolated. */
import { type Component, type Level, local } from "./component";
import { Failure, failure } from "./failure";
import { type Image, loaded, more } from "./image";
import { Message } from "./protocol";
import { awake, bed, type Imports } from "./runtime";
import type { Service } from "./services";
import { Surface } from "./surface";

const TIME_MS = 1000;
const MEMORY_BYTES = 16 << 20;
/** So many are begun before any has to sleep. */
const FEW = 32;
let begun = 0;

interface Running {
  readonly image: Image;
  readonly component: Component;
  readonly ended: AbortController;
}

/** What few pages need, from files of their own. */
type Ask = typeof import("./services").ask;
type Adopted = typeof import("./adopt").adopted;

/** Lets components sleep. A page with many of them does it by itself. */
export const hibernation = async (): Promise<void> => {
  if (!bed.wake) (await more()).hibernation(awake, bed);
};

/**
 * Attributes: `src`, a reference; `level`: `instance`, `worker` or `frame`; `grant`: what it may ask for,
 * such as `storage route`; `time`: milliseconds for an event; `memory`: bytes; `name`: apart from others of
 * its kind; `text`: what it is started with; `shadow`: the page's styles stay out.
 * Tells `status`: `loading`, `ready` or `failed`; sends `ounce-ready` and `ounce-error`. `status="rendered"`
 * says that a server has drawn it.
 */
export class OunceElement extends HTMLElement {
  static readonly observedAttributes = ["src"];

  /** Functions that the component may import, at the level `instance`. */
  imports: Imports = {};
  /** More that can be granted, by the name a component calls. */
  services: Record<string, Service> = {};
  #running: Running | undefined;
  #turn = 0;
  /** Who waits for its state. */
  #saves: ((state: string) => void)[] = [];

  /** The module that runs. */
  get digest(): string | undefined {
    return this.#running?.image.digest;
  }

  /** Bytes of the component's memory, or of what is kept of it while it sleeps; 0 at the other levels. */
  get bytes(): number {
    return this.#running?.component.bytes ?? 0;
  }

  connectedCallback(): void {
    if (!this.#running) void this.start();
  }

  disconnectedCallback(): void {
    // One that is only moved is back by then.
    setTimeout(() => this.isConnected || this.stop());
  }

  attributeChangedCallback(_: string, before: string | null): void {
    if (before !== null && this.isConnected) void (this.#running ? this.update() : this.start());
  }

  /** Starts it anew; done when it shows. */
  async start(): Promise<void> {
    await this.#begin(this.getAttribute("text") ?? "", Message.Start);
  }

  /** Runs what `src` now says with the state of what runs; if that fails, all stays. */
  async update(): Promise<void> {
    const first = this.#running && (await (await more()).restarted(this, this.#saves));
    await (first && this.#running ? this.#begin(...first) : this.start());
  }

  /** The component's state, as it writes it; empty for one that keeps none. */
  async save(): Promise<string> {
    return (await more()).saved(this, this.#saves);
  }

  /** Sends the component a message. */
  send(message: number, argument?: number, detail?: number, text?: string): void {
    this.#running?.component.send(message, argument, detail, text);
  }

  /** Gives its memory back until the next event. */
  async sleep(): Promise<void> {
    await hibernation();
    this.#running?.component.sleep();
  }

  /** Ends it; what it shows stays, and does nothing. */
  stop(): void {
    this.#turn++;
    const running = this.#running;
    this.#running = undefined;
    running?.ended.abort();
    running?.component.end();
    for (const resolve of this.#saves.splice(0)) resolve("");
  }

  async #begin(text: string, message: Message): Promise<void> {
    const turn = ++this.#turn;
    const old = this.#running;
    try {
      const drawn = this.getAttribute("status") === "rendered";
      if (!old) this.setAttribute("status", "loading");
      const level = (this.getAttribute("level") ?? "instance") as Level;
      const many = begun++ > FEW;
      // All at once.
      const [image, grants, levels, drawing] = await Promise.all([
        loaded(this.getAttribute("src") ?? "", this.baseURI),
        this.hasAttribute("grant") && import("./grants"),
        level !== "instance" && import("./levels"),
        drawn && more(),
        many && hibernation(),
      ]);
      if (turn !== this.#turn) return;
      await this.#run(image, level, (levels || { start: local }).start, grants && grants.ask, drawing && drawing.adopted, text, message, old);
      if (turn !== this.#turn) return;
      this.setAttribute("status", "ready");
      this.dispatchEvent(new CustomEvent("ounce-ready", { bubbles: true, composed: true, detail: image.digest }));
    } catch (error) {
      if (turn === this.#turn) void this.#failed(error, old);
    }
  }

  /** Shows a component in place of another; done with its first patch. */
  #run(image: Image, level: Level, start: typeof local, grant: Ask | false, adopted: Adopted | false, text: string, message: Message, old: Running | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const top = this.hasAttribute("shadow") ? (this.shadowRoot ?? this.attachShadow({ mode: "open" })) : this;
      const host = document.createElement("div");
      host.style.display = "contents";
      const ended = new AbortController();
      const { signal } = ended;
      let state = "";
      const ask = (name: string, value: string, reply: number): void => {
        if (!name) state = value;
        else if (!grant || !grant(this, signal, name, value, (text, detail) => component.send(reply, 0, detail, text))) throw new Failure("grant", name);
      };
      const surface = new Surface(host, (...event) => component.send(...event), ask);
      signal.addEventListener("abort", () => surface.release());
      const limit = (name: string, usual: number): number => +this.getAttribute(name)! || usual;
      const component = start(image, {
        level,
        limits: { time: limit("time", TIME_MS), memory: limit("memory", MEMORY_BYTES) },
        imports: this.imports,
        home: import.meta.url,
        top,
        host,
        show: (patch, message) => {
          if (signal.aborted) return;
          if (patch) surface.apply(patch);
          if (this.#running !== running) {
            old?.ended.abort();
            old?.component.end();
            this.#running = running;
            // In one step, and over what stood there before. A frame is there already.
            if (!host.parentNode) adopted ? surface.adopt(adopted(host, top)) : top.replaceChildren(host);
            resolve();
          }
          surface.settle();
          if (message === Message.Save) this.#saves.shift()?.(state);
        },
        failed: (why) => {
          ended.abort();
          if (this.#running === running) void this.#failed(why);
          else reject(why);
        },
        ask,
      });
      const running: Running = { image, component, ended };
      component.send(message, 0, 0, text);
    });
  }

  async #failed(error: unknown, old?: Running): Promise<void> {
    const why = failure(error);
    const runs = !!old && old === this.#running;
    if (!runs) this.stop();
    try {
      (await more()).shown(this, why, runs);
    } catch {
      this.setAttribute("status", "failed");
      this.textContent = `${why.code}: ${why.message}`;
    }
  }
}

/** Makes `<ounce-component>` known; once. */
export const define = (): void => {
  if (!customElements.get("ounce-component")) customElements.define("ounce-component", OunceElement);
};
