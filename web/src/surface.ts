/** A component's part of the page: applies its patches in one pass, and hands its events back. */
import { Failure } from "./failure";
import { attributeKind, permitsAddress, permitsTag } from "./policy";
import { type Patch, Op, type Send } from "./protocol";

/** Asks the page for something; see `services`. */
export type Ask = (name: string, text: string, message: number) => void;

const SVG = "http://www.w3.org/2000/svg";
/** A handler is one number: its message above, its argument in the low 32 bits. */
const SHIFT = 2 ** 32;
const PROPERTIES = /^(checked|selected|indeterminate|muted)$/;
const TAG = 1;

type Handlers = Record<string, number | undefined>;
type Field = Element & { value: string; checked: boolean };

/** What stands below one root. */
export class Surface {
  readonly #root: ParentNode & Node;
  readonly #document: Document;
  readonly #send: Send;
  readonly #ask: Ask;
  readonly #nodes: (Node | undefined)[];
  readonly #names: string[] = [];
  /** What is known of each name: bit 0 a tag that is allowed, above it the kind of attribute. */
  readonly #known: number[] = [];
  readonly #listened = new Map<string, EventListener>();
  #calls: [name: string, text: string, message: number][] = [];
  #focus: HTMLElement | undefined;
  /** The state that the last patch brought. */
  state: string | undefined;

  constructor(root: ParentNode & Node, send: Send, ask: Ask) {
    this.#root = root;
    this.#document = root.ownerDocument!;
    this.#send = send;
    this.#ask = ask;
    this.#nodes = [root];
  }

  /** Stops listening; what is shown stays. */
  release(): void {
    for (const [type, listener] of this.#listened) this.#root.removeEventListener(type, listener, true);
    this.#listened.clear();
  }

  /** Does what a patch says, in order; what needs the page whole is left to `settle`. */
  apply({ words, text }: Patch): void {
    const names = this.#names;
    const nodes = this.#nodes;
    let held: DocumentFragment | undefined;
    let current = this.#root as Node as Field;
    let from = 0;
    const take = (length: number): string => {
      const end = from + length;
      if (end > text.length) throw new Failure("patch", "texts are missing");
      const piece = text.slice(from, end);
      from = end;
      return piece;
    };
    const node = (id: number): Field => {
      const found = nodes[id];
      if (!found) throw new Failure("patch", `there is no node ${id}`);
      return found as Field;
    };
    /** A node of the component's own: the root is the page's. */
    const own = (id: number): Field => {
      if (!id) throw new Failure("patch", "the root is the page's");
      return node(id);
    };
    const before = (id: number): Node | null => (id ? node(id) : null);
    const inner = (): Field => {
      if (current === (this.#root as Node)) own(0);
      return current;
    };
    for (let at = 0; at < words.length; ) {
      const word = words[at++]!;
      const a = word >>> 8;
      switch (word & 255) {
        case Op.Name: {
          const name = take(a);
          this.#known.push(+permitsTag(name) | (attributeKind(name) << 1));
          names.push(name);
          break;
        }
        case Op.Open:
        case Op.OpenSvg: {
          const name = names[a]!;
          if (!(this.#known[a]! & TAG)) throw new Failure("patch", `<${name}> is forbidden`);
          const made = (word & 255) === Op.Open ? this.#document.createElement(name) : this.#document.createElementNS(SVG, name);
          nodes[words[at++]!] = made;
          current.appendChild(made);
          current = made as Element as Field;
          break;
        }
        case Op.Close:
          if (current === (this.#root as Node)) throw new Failure("patch", "the root is left");
          current = current.parentNode as Node as Field;
          break;
        case Op.At:
          current = node(a);
          break;
        case Op.Hold:
          current = (held = this.#document.createDocumentFragment()) as Node as Field;
          break;
        case Op.Put:
          if (!held) throw new Failure("patch", "nothing is held");
          current = node(a);
          current.insertBefore(held, before(words[at++]!));
          held = undefined;
          break;
        case Op.Text:
          current.textContent = take(a);
          break;
        case Op.Node: {
          const made = this.#document.createTextNode(take(a));
          nodes[words[at++]!] = made;
          current.appendChild(made);
          break;
        }
        case Op.Attribute:
          this.#attribute(inner(), a, take(words[at++]!));
          break;
        case Op.Unattribute:
          inner().removeAttribute(names[a]!);
          break;
        case Op.Flag: {
          const name = names[a]!;
          const on = !!words[at++];
          if (PROPERTIES.test(name)) (inner() as unknown as Record<string, boolean>)[name] = on;
          else if (on) this.#attribute(inner(), a, "");
          else inner().removeAttribute(name);
          break;
        }
        case Op.Class:
        case Op.ClassName: {
          const value = (word & 255) === Op.Class ? take(a) : names[a]!;
          if (inner().namespaceURI === SVG) current.setAttribute("class", value);
          else current.className = value;
          break;
        }
        case Op.Toggle:
          inner().classList.toggle(names[a]!, !!words[at++]);
          break;
        case Op.Value: {
          const value = take(a);
          // Setting it moves the cursor.
          if (inner().value !== value) current.value = value;
          break;
        }
        case Op.On: {
          const type = names[a]!;
          if (!this.#listened.has(type)) this.#listen(type);
          (current as unknown as Handlers)["$" + type] = words[at]! * SHIFT + words[at + 1]!;
          at += 2;
          break;
        }
        case Op.Off:
          (current as unknown as Handlers)["$" + names[a]] = undefined;
          break;
        case Op.Move:
          current.insertBefore(own(a), before(words[at++]!));
          break;
        case Op.Remove:
          own(a).remove();
          nodes[a] = undefined;
          break;
        case Op.Clear:
          current.textContent = "";
          break;
        case Op.Focus:
          this.#focus = current as Node as HTMLElement;
          break;
        case Op.Call:
          this.#calls.push([names[a]!, take(words[at + 1]!), words[at]!]);
          at += 2;
          break;
        case Op.State:
          this.state = take(a);
          break;
        case Op.Copy: {
          const made = own(a).cloneNode(true) as Element;
          let id = words[at++]!;
          nodes[id++] = made;
          for (const inner of made.getElementsByTagName("*")) nodes[id++] = inner;
          current.appendChild(made);
          current = made as Field;
          break;
        }
        default:
          throw new Failure("patch", `command ${word & 255} is unknown`);
      }
    }
  }

  /** Gives the focus, and asks the page what was asked; an answer may come at once. */
  settle(): void {
    this.#focus?.focus();
    this.#focus = undefined;
    for (const call of this.#calls.splice(0)) this.#ask(...call);
  }

  #attribute(element: Element, index: number, value: string): void {
    const name = this.#names[index]!;
    const kind = this.#known[index]! >> 1;
    if (!kind || (kind > 1 && !permitsAddress(value))) {
      throw new Failure("patch", `forbidden: ${name}="${value}"`);
    }
    element.setAttribute(name, value);
  }

  #listen(type: string): void {
    const listener = (event: Event): void => {
      if (type === "submit") event.preventDefault();
      let target = event.target as Node | null;
      for (; target && target !== this.#root; target = target.parentNode) {
        const handler = (target as unknown as Handlers)["$" + type];
        if (handler === undefined) continue;
        const field = target as Field;
        const detail = (event as KeyboardEvent).keyCode || +!!field.checked;
        this.#send(Math.floor(handler / SHIFT), handler % SHIFT, detail, typeof field.value === "string" ? field.value : "");
        return;
      }
    };
    this.#listened.set(type, listener);
    // Captured, since focus and blur do not rise.
    this.#root.addEventListener(type, listener, true);
  }
}
