/** What a component may ask its page for, each only where the page grants it by name. */
import { type Bus, bus } from "./bus";

/** One thing that a page grants. `reply` may be called any number of times, or never. */
export type Service = (text: string, reply: (text: string, detail?: number) => void, of: Asker) => void;

/** Who asks. */
export interface Asker {
  /** Apart from others of the page: the element's `name`, or its image's address. */
  readonly name: string;
  /** Called when it ends. */
  readonly signal: AbortSignal;
  readonly bus: Bus;
}

const key = (of: Asker): string => "ounce:" + of.name;

/** Those that this package brings, by the names that a component calls. Each belongs to a grant: the part before the dot. */
export const services: Record<string, Service> = {
  /** The text that was kept under the component's name, or none. */
  "storage.get": (_, reply, of) => reply(localStorage.getItem(key(of)) ?? ""),
  "storage.set": (text, _, of) => localStorage.setItem(key(of), text),
  /** The address's part after `#`, now and at each change. */
  "route.watch": (_, reply, of) => {
    const tell = (): void => reply(location.hash.slice(1));
    addEventListener("hashchange", tell, { signal: of.signal });
    tell();
  },
  "route.go": (text) => {
    location.hash = text;
  },
  /** Replies once, after so many milliseconds. */
  "timer.after": (text, reply, of) => {
    const timer = setTimeout(() => reply(""), +text);
    of.signal.addEventListener("abort", () => clearTimeout(timer));
  },
  /** `topic`, a line feed, the message. */
  "bus.send": (text, _, of) => {
    const end = text.indexOf("\n");
    of.bus.send(end < 0 ? text : text.slice(0, end), end < 0 ? "" : text.slice(end + 1));
  },
  /** Each message of a topic. */
  "bus.watch": (topic, reply, of) => of.bus.watch(topic, (message) => reply(message as string), of.signal),
};

/** Does what a component in `element` asks for, and tells it until `signal`; false where that is not granted. */
export const ask = (
  element: Element & { readonly services: Record<string, Service> },
  signal: AbortSignal,
  name: string,
  text: string,
  reply: (text: string, detail?: number) => void,
): boolean => {
  const of = (attribute: string): string => element.getAttribute(attribute) ?? "";
  const service = element.services[name] ?? (Object.hasOwn(services, name) ? services[name] : undefined);
  if (!service || !of("grant").split(/\s+/).includes(name.split(".")[0]!)) return false;
  service(text, (text, detail) => signal.aborted || reply(text, detail), { name: of("name") || of("src"), signal, bus });
  return true;
};
