/** Messages between the components of a page, and the page. */

/** Topics and the type of their messages; a component's are texts. */
export type Topics = Record<string, unknown>;

/** Carries messages by topic. `Bus<{ cart: string }>` takes no other topic and type. */
export class Bus<T extends Topics = Record<string, string>> {
  readonly #watchers = new Map<keyof T, Set<(message: never) => void>>();

  /** Calls `take` with each message of a topic until `signal` ends it. */
  watch<K extends keyof T>(topic: K, take: (message: T[K]) => void, signal?: AbortSignal): void {
    const all = this.#watchers.get(topic) ?? new Set();
    this.#watchers.set(topic, all.add(take));
    signal?.addEventListener("abort", () => all.delete(take));
  }

  /** Tells all that watch; one that throws does not keep it from the others. */
  send<K extends keyof T>(topic: K, message: T[K]): void {
    for (const take of this.#watchers.get(topic) ?? []) {
      try {
        take(message as never);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

/** The page's own: what components that are granted `bus` speak on. */
export const bus = new Bus();
