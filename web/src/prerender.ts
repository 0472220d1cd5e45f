/** A component's first view as HTML, for a server: the same module, run without a browser. */
import { Message } from "./protocol";
import { Runtime } from "./runtime";
import { Surface } from "./surface";

const VOID = /^(area|br|col|embed|hr|img|input|source|track|wbr)$/;
const escaped = (text: string): string => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

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
    if (on) this.attributes.set("checked", "");
    else this.attributes.delete("checked");
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
    return this.childNodes.map((node) => node.outerHTML).join("");
  }

  get outerHTML(): string {
    if (!this.localName) return escaped(this.text) + this.innerHTML;
    const value = this.value ? ` value="${escaped(this.value)}"` : "";
    const attributes = [...this.attributes].map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
    const end = VOID.test(this.localName) ? "" : `${this.innerHTML}</${this.localName}>`;
    return `<${this.localName}${attributes}${value}>${end}`;
  }
}

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
