/** A component's part of the page: applies its patches in one pass, and hands its events back. */
import { Failure } from "./failure";
import { attributeKind, permitsAddress, permitsTag } from "./policy";
import { type Patch, Op, type Send } from "./protocol";

/** Asks the page for something, see `services`; without a name it gives its state. */
export type Ask = (name: string, text: string, message: number) => void;

const SVG = "http://www.w3.org/2000/svg";
/** Elements that one patch may copy: copies of copies double. */
const MOST_COPIED = 1 << 20;

/** A message and its argument, by the event's name after a `$`. */
type Handlers = Record<string, [number, number] | undefined>;
/** `$late`: handlers of those inside a copy that was never touched: its number, then number, name, message, argument of each. */
type Field = Element & { value: string; checked: boolean; $late?: (number | string)[] | undefined };

const wrong = (what: string): never => {
  throw new Failure("patch", what);
};

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
  /** Of each name, whether it is an element that is allowed, and which kind of attribute. */
  readonly #kinds: [tag: boolean, attribute: number][] = [];
  readonly #listened = new Set<string>();
  #calls: [name: string, text: string, message: number][] = [];
  #focus: HTMLElement | undefined;

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
      return end > text.length ? wrong("texts are missing") : text.slice(from, (from = end));
    };
    /** Neither none, nor one that is no longer where it was copied to. */
    const there = (found: Node | number | null | undefined, id: number): Field =>
      found && typeof found === "object" ? (found as Field) : wrong(`no node ${id}`);
    const node = (id: number): Field => {
      if (typeof nodes[id] === "number") this.#whole(id - nodes[id]);
      return there(nodes[id], id);
    };
    /** A node of the component's own: the root is the page's. */
    const own = (id: number): Field => (id ? node(id) : wrong("the root is the page's"));
    const before = (id: number): Node | null => (id ? node(id) : null);
    const inner = (): Field => (current === (this.#root as Node) ? own(0) : current);
    for (let at = 0; at < words.length; ) {
      const word = words[at++]!;
      const a = word >>> 8;
      switch (word & 255) {
        case Op.Name: {
          const name = take(a);
          this.#kinds.push([permitsTag(name), attributeKind(name)]);
          names.push(name);
          break;
        }
        case Op.Open:
        case Op.OpenSvg: {
          const name = names[a]!;
          if (!this.#kinds[a]?.[0]) wrong(`forbidden: <${name}>`);
          const made = (word & 255) === Op.Open ? this.#document.createElement(name) : this.#document.createElementNS(SVG, name);
          nodes[words[at++]!] = made;
          current.appendChild(made);
          current = made as Element as Field;
          break;
        }
        case Op.Close:
          if (current === (this.#root as Node)) wrong("the root is left");
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
          current = node(a);
          current.insertBefore(held ?? wrong("nothing is held"), before(words[at++]!));
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
          const flags = inner() as unknown as Record<string, boolean>;
          // `checked`, `selected`, `muted`: what the attribute says is only how they begin.
          if (typeof flags[name] === "boolean") flags[name] = on;
          else if (on) this.#attribute(inner(), a, "");
          else inner().removeAttribute(name);
          break;
        }
        case Op.Class:
        case Op.ClassName:
          inner().setAttribute("class", (word & 255) === Op.Class ? take(a) : names[a]!);
          break;
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
          const [message, argument] = [words[at++]!, words[at++]!];
          const inside = nodes[id];
          if (typeof inside === "number") (node(id - inside).$late ??= [id - inside]).push(id, "$" + type, message, argument);
          else ((id < 0 ? current : node(id)) as unknown as Handlers)["$" + type] = [message, argument];
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
          this.#calls.push(["", take(a), 0]);
          break;
        case Op.Copy: {
          const model = own(a);
          let found = models.get(model);
          if (!found) {
            copied += model.getElementsByTagName("*").length;
            if (copied < MOST_COPIED) models.set(model, (found = modelOf(model)));
          }
          if (!found || (copied += found.ways.length) > MOST_COPIED) return wrong("too many copies");
          ways = found.ways;
          copy = words[at++]!;
          const made = found.bare.cloneNode(true);
          nodes[copy] = made;
          current.appendChild(made);
          current = made as Field;
          for (let inside = 1; inside < ways.length; inside++) nodes[copy + inside] = inside;
          break;
        }
        default:
          wrong(`no command ${word & 255}`);
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
    for (let at = 1; at < late.length; ) {
      const one = nodes[late[at++] as number];
      const handler = { [late[at++]!]: [late[at++], late[at++]] };
      if (typeof one === "object") Object.assign(one, handler);
    }
  }

  #attribute(element: Element, index: number, value: string): void {
    const name = this.#names[index]!;
    const kind = this.#kinds[index]?.[1];
    if (!kind || (kind > 1 && !permitsAddress(value))) wrong(`forbidden: ${name}="${value}"`);
    element.setAttribute(name, value);
  }

  #listen(type: string): void {
    this.#listened.add(type);
    // Captured, since focus and blur do not rise.
    this.#root.addEventListener(type, this.#listener, true);
  }

  readonly #listener = (event: Event): void => {
    const { type } = event;
    if (type === "submit") event.preventDefault();
    const way = event.composedPath() as Field[];
    way.length = way.indexOf(this.#root as Node as Field);
    for (const { $late } of way) if ($late) this.#whole($late[0] as number);
    for (const node of way) {
      const handler = (node as unknown as Handlers)["$" + type];
      if (!handler) continue;
      this.#send(...handler, (event as KeyboardEvent).keyCode || +!!node.checked, typeof node.value === "string" ? node.value : "");
      return;
    }
  };
}
