/** What a server has drawn of a component, kept as it stands: with its focus, and what its user has typed. */

/** Properties that are their user's once they differ from what the markup says. */
const OWN = { value: "defaultValue", checked: "defaultChecked", selected: "defaultSelected", muted: "defaultMuted" };
const TEXT = 3;
const COMMENT = 8;

/** Makes what is in `drawn` what is in `made`, and tells which node of it stands for which. */
export const adopted = (made: Element, drawn: Node): Map<unknown, Node> => {
  const others = new Map<unknown, Node>();
  const keep = (one: Element, other: Element): void => {
    others.set(one, other);
    if (!one.localName) {
      // A text.
      if (other.textContent !== one.textContent) other.textContent = one.textContent;
      return;
    }
    for (const { name } of [...other.attributes]) if (!one.hasAttribute(name) && !Object.hasOwn(OWN, name)) other.removeAttribute(name);
    for (const { name, value } of one.attributes) if (other.getAttribute(name) !== value) other.setAttribute(name, value);
    for (const [name, first] of Object.entries(OWN)) {
      const [from, to] = [one, other] as unknown as Record<string, unknown>[];
      if (first in to! && to![name] === to![first]) to![name] = from![name];
    }
    if ("indeterminate" in one) (other as HTMLInputElement).indeterminate = (one as HTMLInputElement).indeterminate;
    if (one.localName !== "textarea") inside(one, other);
  };
  const inside = (one: Node, other: Node): void => {
    // Handlers.
    Object.assign(other, one);
    others.set(one, other);
    let next: ChildNode | null = other.firstChild;
    const drop = (): void => {
      const gone = next!;
      next = gone.nextSibling;
      gone.remove();
    };
    for (const child of [...one.childNodes]) {
      // Comments keep two texts apart; a text before an element is layout of the markup.
      while (next && (next.nodeType === COMMENT || (next.nodeType === TEXT && child.nodeType !== TEXT))) drop();
      if (next?.nodeName === child.nodeName && (next as Node as Element).namespaceURI === (child as Node as Element).namespaceURI) {
        keep(child as Node as Element, next as Node as Element);
        next = next.nextSibling;
      } else {
        // A text may be missing, since an empty one is not drawn; an element is another one.
        if (child.nodeType !== TEXT && next) drop();
        other.insertBefore(child, next);
      }
    }
    while (next) drop();
  };
  inside(made, drawn);
  return others;
};
