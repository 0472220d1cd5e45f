/** A component's first view as HTML, for a server: the same module, run without a browser. */
import { Message } from "./protocol";
import { Runtime } from "./runtime";
import { Surface } from "./surface";

const VOID = /^(area|br|col|embed|hr|img|input|source|track|wbr)$/;
/** Parsers leave out a line feed that comes first in these. */
const OPENED = /^(pre|textarea)$/;
const escaped = (text: string): string => text.replace(/[&<>"\r]/g, (char) => `&#${char.charCodeAt(0)};`);

/** The few things of a node that `Surface` uses. */
export class PlainNode {
  parentNode: PlainNode | null = null;
  readonly childNodes: PlainNode[] = [];
  readonly attributes = new Map<string, string>();
  readonly ownerDocument = PlainNode;
  text = "";
  value: string | undefined;

  constructor(readonly localName = "", readonly namespaceURI = "") {}

  static createElement = (name: string): PlainNode => new PlainNode(name);
  static createElementNS = (space: string, name: string): PlainNode => new PlainNode(name, space);
  static createDocumentFragment = (): PlainNode => new PlainNode();
  static createTextNode = (text: string): PlainNode => Object.assign(new PlainNode(), { text });

  get firstChild(): PlainNode | null {
    return this.childNodes[0] ?? null;
  }

  get nextSibling(): PlainNode | null {
    return this.#beside(1);
  }

  get previousSibling(): PlainNode | null {
    return this.#beside(-1);
  }

  #beside(step: number): PlainNode | null {
    const all = this.parentNode?.childNodes ?? [];
    return all[all.indexOf(this) + step] ?? null;
  }

  /** Those in it, in the order in which they stand. */
  getElementsByTagName(_: "*"): PlainNode[] {
    return this.childNodes.filter((child) => child.localName).flatMap((child) => [child, ...child.getElementsByTagName("*")]);
  }

  /** With all in it; what is no markup is not copied. */
  cloneNode(_: true): PlainNode {
    const made = Object.assign(new PlainNode(this.localName, this.namespaceURI), { text: this.text });
    for (const [name, value] of this.attributes) if (!PROPERTIES.includes(name)) made.attributes.set(name, value);
    for (const child of this.childNodes) made.appendChild(child.cloneNode(true));
    return made;
  }

  appendChild(node: PlainNode): void {
    this.insertBefore(node, null);
  }

  insertBefore(node: PlainNode, before: PlainNode | null): void {
    if (!node.localName && !node.text && node.childNodes.length) {
      for (const child of [...node.childNodes]) this.insertBefore(child, before);
      return;
    }
    node.remove();
    const place = before ? this.childNodes.indexOf(before) : this.childNodes.length;
    this.childNodes.splice(place, 0, node);
    node.parentNode = this;
  }

  remove(): void {
    const all = this.parentNode?.childNodes ?? [];
    const place = all.indexOf(this);
    if (place >= 0) all.splice(place, 1);
    this.parentNode = null;
  }

  set textContent(text: string) {
    if (!this.localName && this.parentNode) {
      this.text = text;
      return;
    }
    for (const child of [...this.childNodes]) child.remove();
    if (text) this.appendChild(PlainNode.createTextNode(text));
  }

  set className(classes: string) {
    this.attributes.set("class", classes);
  }

  get classList(): { toggle: (name: string, on: boolean) => void } {
    return {
      toggle: (name, on) => {
        const all = new Set((this.attributes.get("class") ?? "").split(" ").filter(Boolean));
        if (on) all.add(name);
        else all.delete(name);
        this.className = [...all].join(" ");
      },
    };
  }

  set checked(on: boolean) {
    this.#flag("checked", on);
  }

  set selected(on: boolean) {
    this.#flag("selected", on);
  }

  set muted(on: boolean) {
    this.#flag("muted", on);
  }

  #flag(name: string, on: boolean): void {
    if (on) this.attributes.set(name, "");
    else this.attributes.delete(name);
  }

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }

  focus(): void {}
  addEventListener(): void {}
  removeEventListener(): void {}

  /** What is in it, as HTML. */
  get innerHTML(): string {
    let was = true;
    let html = "";
    for (const node of this.childNodes) {
      // Without something between them two texts would come back as one.
      if (!node.localName && !was) html += "<!---->";
      was = !!node.localName;
      html += node.outerHTML;
    }
    return html;
  }

  get outerHTML(): string {
    if (!this.localName) return escaped(this.text) + this.innerHTML;
    const { localName: name, value } = this;
    const attributes = [...this.attributes].map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
    if (VOID.test(name)) return `<${name}${attributes}${value ? ` value="${escaped(value)}"` : ""}>`;
    const inside = name === "textarea" && value !== undefined ? escaped(value) : this.innerHTML;
    return `<${name}${attributes}>${OPENED.test(name) && inside.startsWith("\n") ? "\n" : ""}${inside}</${name}>`;
  }
}

/** Set as properties, which are no markup until they are written. */
const PROPERTIES = ["checked", "selected", "muted"];

/** What a component shows first. `answers` are what its services reply, by name; all else stays without a reply. */
export const prerender = (module: WebAssembly.Module, text = "", answers: Record<string, string> = {}): string => {
  const root = new PlainNode("div");
  const runtime = new Runtime(module, {}, { time: 5000, memory: 64 << 20 });
  const replies: [message: number, text: string][] = [];
  const surface = new Surface(root as unknown as Element, () => undefined, (name, _, message) => {
    const answer = answers[name];
    if (answer !== undefined) replies.push([message, answer]);
  });
  surface.apply(runtime.call(Message.Start, 0, 0, text));
  surface.settle();
  for (let next; (next = replies.shift()); ) {
    surface.apply(runtime.call(next[0], 0, 0, next[1]));
    surface.settle();
  }
  runtime.end();
  return root.innerHTML;
};
