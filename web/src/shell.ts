/** A page of several components: which one an address shows, their life, and their successors. */
import type { Failure } from "./failure";
import type { OunceElement } from "./element";
import { Message } from "./protocol";

/** What an address shows. */
export interface Route {
  /** Of the address's part after `#`: the longest that begins it is shown. */
  readonly path: string;
  /** Attributes of its `<ounce-component>`, `src` among them. */
  readonly component: Readonly<Record<string, string>>;
}

/** Called as a component's life goes. */
export interface Life {
  readonly mounted?: (route: Route, element: OunceElement) => void;
  readonly shown?: (route: Route, element: OunceElement) => void;
  readonly hidden?: (route: Route, element: OunceElement) => void;
  readonly unmounted?: (route: Route) => void;
  /** True: it is dealt with. Else the component's place tells what happened, with a button to try again. */
  readonly failed?: (route: Route, failure: Failure) => boolean | void;
}

/** Shows one component at a time in `outlet`; the others keep their state and what they show. */
export class Shell {
  readonly #outlet: Element;
  readonly #routes: readonly Route[];
  readonly #life: Life;
  readonly #elements = new Map<Route, OunceElement>();
  readonly #ended = new AbortController();
  #current: Route | undefined;

  constructor(outlet: Element, routes: readonly Route[], life: Life = {}) {
    this.#outlet = outlet;
    this.#routes = [...routes].sort((one, other) => other.path.length - one.path.length);
    this.#life = life;
    const { signal } = this.#ended;
    addEventListener("hashchange", () => this.go(location.hash.slice(1)), { signal });
    // Who points at a link will follow it.
    document.addEventListener("pointerover", ({ target }) => {
      const link = (target as Element | null)?.closest?.("a[href^='#']");
      if (link) this.preload(link.getAttribute("href")!.slice(1));
    }, { signal });
    this.go(location.hash.slice(1));
  }

  /** The route that an address shows. */
  route(address: string): Route | undefined {
    return this.#routes.find(({ path }) => address.startsWith(path));
  }

  /** The element of a route that was mounted. */
  element(route: Route): OunceElement | undefined {
    return this.#elements.get(route);
  }

  /** Shows what an address shows. */
  go(address: string): void {
    const route = this.route(address);
    if (route === this.#current) return;
    const before = this.#current;
    this.#current = route;
    if (before) this.#hide(before);
    if (route) this.#show(route);
  }

  /** Mounts a route without showing it. */
  preload(address: string): void {
    const route = this.route(address);
    if (!route || this.#elements.has(route)) return;
    this.#mount(route);
    this.#veil(this.#elements.get(route)!, true);
  }

  /** Mounts all routes, one whenever the page has nothing to do. */
  preloadIdle(): void {
    const next = this.#routes.find((route) => !this.#elements.has(route));
    if (!next || this.#ended.signal.aborted) return;
    (globalThis.requestIdleCallback ?? setTimeout)(() => {
      this.preload(next.path);
      this.preloadIdle();
    });
  }

  /** Runs another image at a route, with the state of the one that runs. */
  async update(route: Route, src: string): Promise<void> {
    const element = this.#elements.get(route);
    if (!element) return;
    await new Promise<void>((resolve, reject) => {
      const once = { once: true };
      element.addEventListener("ounce-ready", () => resolve(), once);
      element.addEventListener("ounce-error", (event) => reject((event as CustomEvent<Failure>).detail), once);
      element.setAttribute("src", src);
    });
  }

  /** Ends a route's component. */
  unmount(route: Route): void {
    const element = this.#elements.get(route);
    if (!element) return;
    this.#elements.delete(route);
    element.stop();
    element.remove();
    if (this.#current === route) this.#current = undefined;
    this.#life.unmounted?.(route);
  }

  /** Ends all of them. */
  end(): void {
    this.#ended.abort();
    for (const route of [...this.#elements.keys()]) this.unmount(route);
  }

  #mount(route: Route): OunceElement {
    const element = document.createElement("ounce-component") as OunceElement;
    element.style.display = "block";
    for (const [name, value] of Object.entries(route.component)) element.setAttribute(name, value);
    element.addEventListener("ounce-error", (event) => {
      const failure = (event as CustomEvent<Failure>).detail;
      if (this.#life.failed?.(route, failure)) {
        event.preventDefault();
        return;
      }
      // One that still runs has only failed to become another.
      if (element.getAttribute("status") !== "failed") return;
      event.preventDefault();
      const text = document.createElement("p");
      text.setAttribute("role", "alert");
      text.textContent = failure.message + " ";
      const again = document.createElement("button");
      again.textContent = "Try again";
      again.addEventListener("click", () => void element.start());
      text.append(again);
      element.replaceChildren(text);
    });
    this.#elements.set(route, element);
    this.#outlet.append(element);
    this.#life.mounted?.(route, element);
    return element;
  }

  #show(route: Route): void {
    const old = this.#elements.get(route);
    const element = old ?? this.#mount(route);
    this.#veil(element, false);
    if (old) element.send(Message.Show);
    this.#life.shown?.(route, element);
  }

  #hide(route: Route): void {
    const element = this.#elements.get(route);
    if (!element) return;
    this.#veil(element, true);
    element.send(Message.Hide);
    this.#life.hidden?.(route, element);
  }

  /** Laid out no more, but kept as it is: far cheaper to undo than `display: none` (docs/benchmarks.md). */
  #veil(element: HTMLElement, hidden: boolean): void {
    element.style.contentVisibility = hidden ? "hidden" : "visible";
    element.inert = hidden;
  }
}
