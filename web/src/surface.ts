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
/** Elements that one patch may copy: copies of copies double. */
const MOST_COPIED = 1 << 20;

type Handlers = Record<string, number | undefined>;
/** `$late`: handlers of those inside a copy that was never touched: its number, then number, name, handler of each. */
type Field = Element & { value: string; checked: boolean; $late?: (number | string)[] | undefined };

/** What copies are made of, and the way to each element in it: true is a sibling on, false a child down. */
interface Model {
  readonly bare: Node;
  readonly ways: boolean[][];
}

const modelOf = (of: Node): Model => {
  const bare = of.cloneNode(true) as Element;
  const ways = new Map<Node, boolean[]>([[bare, []]]);
  const inner = bare.getElementsByTagName("*");
  for (const one of [bare, ...inner]) {
    for (const child of [...one.childNodes]) if (!(child as Element).localName) child.remove();
  }
  for (const one of inner) {
    const before = one.previousSibling;
    ways.set(one, [...ways.get(before ?? one.parentNode!)!, !!before]);
  }
  return { bare, ways: [...ways.values()] };
};

/** What stands below one root. */
export class Surface {
  #root: ParentNode & Node;
  readonly #document: Document;
  readonly #send: Send;
  readonly #ask: Ask;
  /** By number. A number instead of a node: it stands in a copy, whose own number is that much less. */
  #nodes: (Node | number | undefined)[];
  readonly #names: string[] = [];
  /** What is known of each name: bit 0 a tag that is allowed, above it the kind of attribute. */
  readonly #known: number[] = [];
  readonly #listened = new Set<string>();
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
    for (const type of this.#listened) this.#root.removeEventListener(type, this.#listener, true);
  }

  /** Goes on with other nodes, its root among them, in the place of its own. */
  adopt(others: Map<unknown, Node>): void {
    const other = <T>(one: T): T => (others.get(one) as T | undefined) ?? one;
    this.release();
    this.#nodes = this.#nodes.map(other);
    this.#focus = other(this.#focus);
    this.#root = other(this.#root);
    for (const type of this.#listened) this.#listen(type);
  }

  /** Does what a patch says, in order; what needs the page whole is left to `settle`. */
  apply({ words, text }: Patch): void {
    const names = this.#names;
    const nodes = this.#nodes;
    const models = new Map<Node, Model>();
    let held: DocumentFragment | undefined;
    let current = this.#root as Node as Field;
    let from = 0;
    let copied = 0;
    // The last copy: its number, and the ways in it.
    let copy = 0;
    let ways: boolean[][] = [];
    const take = (length: number): string => {
      const end = from + length;
      if (end > text.length) throw new Failure("patch", "texts are missing");
      const piece = text.slice(from, end);
      from = end;
      return piece;
    };
    const there = (found: Node | number | null | undefined, id: number): Field => {
      // Neither none, nor one that is no longer where it was copied to.
      if (!found || typeof found === "number") throw new Failure("patch", `there is no node ${id}`);
      return found as Field;
    };
    const node = (id: number): Field => {
      if (typeof nodes[id] === "number") this.#whole(id - nodes[id]);
      return there(nodes[id], id);
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
          // Right after a copy is made only those are looked for that differ.
          if (typeof nodes[a] === "number" && a - nodes[a] === copy) {
            let step: Node | null | undefined = node(copy);
            for (const way of ways[nodes[a]]!) step = way ? step?.nextSibling : step?.firstChild;
            current = there(step, a);
          } else current = node(a);
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
        case Op.On:
        case Op.OnAt: {
          const type = names[a]!;
          if (!this.#listened.has(type)) this.#listen(type);
          const id = (word & 255) === Op.On ? -1 : words[at++]!;
          const handler = words[at]! * SHIFT + words[at + 1]!;
          at += 2;
          const inside = nodes[id];
          if (typeof inside === "number") (node(id - inside).$late ??= [id - inside]).push(id, "$" + type, handler);
          else ((id < 0 ? current : node(id)) as unknown as Handlers)["$" + type] = handler;
          break;
        }
        case Op.Off:
          this.#whole(copy);
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
          const model = own(a);
          let found = models.get(model);
          if (!found) {
            copied += model.getElementsByTagName("*").length;
            if (copied < MOST_COPIED) models.set(model, (found = modelOf(model)));
          }
          ways = found?.ways ?? [];
          if ((copied += ways.length) > MOST_COPIED || !found) throw new Failure("patch", `more than ${MOST_COPIED} elements are copied`);
          copy = words[at++]!;
          const made = found.bare.cloneNode(true);
          nodes[copy] = made;
          current.appendChild(made);
          current = made as Field;
          for (let inside = 1; inside < ways.length; inside++) nodes[copy + inside] = inside;
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

  /** Looks for all that stand in a copy. */
  #whole(copy: number): void {
    const nodes = this.#nodes;
    const top = nodes[copy];
    if (typeof top !== "object") return;
    let id = copy;
    for (const one of (top as Element).getElementsByTagName("*")) {
      // Its own come first: what came into it since stands behind them.
      if (nodes[++id] !== id - copy) break;
      nodes[id] = one;
    }
    const late = (top as Field).$late ?? [];
    (top as Field).$late = undefined;
    for (let at = 1; at < late.length; at += 3) {
      const one = nodes[late[at] as number];
      if (typeof one === "object") (one as unknown as Record<string, unknown>)[late[at + 1]!] = late[at + 2];
    }
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
    this.#listened.add(type);
    // Captured, since focus and blur do not rise.
    this.#root.addEventListener(type, this.#listener, true);
  }

  readonly #listener = (event: Event): void => {
    const { type, target } = event;
    if (type === "submit") event.preventDefault();
    const rise = (visit: (node: Field) => unknown): void => {
      for (let node = target as Node | null; node && node !== this.#root && !visit(node as Field); ) node = node.parentNode;
    };
    rise(({ $late }) => $late && void this.#whole($late[0] as number));
    rise((node) => {
      const handler = (node as unknown as Handlers)["$" + type];
      if (handler === undefined) return false;
      const detail = (event as KeyboardEvent).keyCode || +!!node.checked;
      this.#send(Math.floor(handler / SHIFT), handler % SHIFT, detail, typeof node.value === "string" ? node.value : "");
      return true;
    });
  };
}
