/** `<ounce-component src="…">`: an image, shown and isolated. */
import { type Component, type Level, local } from "./component";
import { Failure, failure, refused } from "./failure";
import { type Image, load, more } from "./image";
import { Message, type Patch } from "./protocol";
import { awake, bed, type Imports } from "./runtime";
import type { Service } from "./services";
import { Surface } from "./surface";

const LEVELS = ["instance", "worker", "frame"];
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

type More = Awaited<ReturnType<typeof more>>;

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
    const state = this.#running && (await this.save());
    if (state === undefined) await this.start();
    else await this.#begin(state, Message.Restore);
  }

  /** The component's state, as it writes it; empty for one that keeps none. */
  save(): Promise<string> {
    return new Promise((resolve) => {
      this.#saves.push(resolve);
      this.send(Message.Save);
    });
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
      if (!LEVELS.includes(level)) throw new Failure("reference", `level="${level}" is none of ${LEVELS.join(", ")}`);
      const many = begun++ > FEW;
      // Asked for at once; waited for when the image is there.
      const extra = many || drawn || level !== "instance" || this.hasAttribute("grant") ? more() : undefined;
      extra?.catch(() => undefined);
      const image = await load(this.getAttribute("src") ?? "", this.baseURI);
      const there = await extra;
      if (many) await hibernation();
      if (turn !== this.#turn) return;
      await this.#run(image, level, there, drawn, text, message, old);
      if (turn !== this.#turn) return;
      this.setAttribute("status", "ready");
      this.dispatchEvent(new CustomEvent("ounce-ready", { bubbles: true, composed: true, detail: image.digest }));
    } catch (error) {
      if (turn === this.#turn) this.#failed(failure(error), old);
    }
  }

  /** Shows a component in place of another; done with its first patch. */
  #run(image: Image, level: Level, extra: More | undefined, drawn: boolean, text: string, message: Message, old: Running | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const top = this.hasAttribute("shadow") ? (this.shadowRoot ?? this.attachShadow({ mode: "open" })) : this;
      const root = document.createElement("div");
      root.style.display = "contents";
      const ended = new AbortController();
      const { signal } = ended;
      let shown = false;
      const place = (): void => {
        if (shown) return;
        shown = true;
        old?.ended.abort();
        old?.component.end();
        this.#running = running;
        if (level === "frame") for (const child of [...top.childNodes]) child === root || child.remove();
        // In one step, and over what stood there before.
        else if (!drawn) top.replaceChildren(root);
        else surface.adopt(extra!.adopted(root, top));
        resolve();
      };
      const failed = (why: Failure): void => {
        ended.abort();
        if (level === "frame") root.remove();
        if (shown) this.#failed(why);
        else reject(why);
      };
      const ask = (name: string, value: string, reply: number): void => {
        if (!extra) throw refused(name);
        extra.ask(this, signal, name, value, (text, detail) => component.send(reply, 0, detail, text));
      };
      const surface = new Surface(root, (...event) => component.send(...event), ask);
      signal.addEventListener("abort", () => surface.release());
      const show = (patch: Patch | { readonly state: string | undefined }): void => {
        if (signal.aborted) return;
        if ("words" in patch) surface.apply(patch);
        else surface.state = patch.state;
        const { state } = surface;
        if (state !== undefined) {
          surface.state = undefined;
          for (const resolve of this.#saves.splice(0)) resolve(state);
        }
        place();
        surface.settle();
      };
      const limit = (name: string, usual: number): number => +(this.getAttribute(name) ?? usual) || usual;
      if (level === "frame") top.append(root);
      const component = (extra && level !== "instance" ? extra.start : local)(image, {
        level,
        limits: { time: limit("time", TIME_MS), memory: limit("memory", MEMORY_BYTES) },
        imports: this.imports,
        home: new URL(".", import.meta.url).href,
        host: root,
        show,
        failed,
        ask: (...call) => {
          try {
            ask(...call);
          } catch (error) {
            component.end();
            failed(failure(error));
          }
        },
      });
      const running: Running = { image, component, ended };
      component.send(message, 0, 0, text);
    });
  }

  #failed(why: Failure, old?: Running): void {
    const event = new CustomEvent("ounce-error", { bubbles: true, composed: true, cancelable: true, detail: why });
    // What runs goes on when only its successor has failed.
    if (old && old === this.#running) {
      this.dispatchEvent(event);
      return;
    }
    this.stop();
    this.setAttribute("status", "failed");
    if (!this.dispatchEvent(event)) return;
    const text = document.createElement("p");
    text.setAttribute("role", "alert");
    text.textContent = why.message;
    (this.shadowRoot ?? this).replaceChildren(text);
  }
}

/** Makes `<ounce-component>` known; once. */
export const define = (): void => {
  if (!customElements.get("ounce-component")) customElements.define("ounce-component", OunceElement);
};
