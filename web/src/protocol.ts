/** The words between a component and its page: numbers of commands and messages. `web/ui` has the same. */

/** Commands: the low 8 bits of a word; the upper 24 are its first operand, `A`. */
export const enum Op {
  /** A = length. The next name: names are numbered from 0 as they come. */
  Name = 1,
  /** A = name; node. A new element, last in the current, becomes the current. */
  Open,
  /** The same in the namespace of SVG. */
  OpenSvg,
  /** The current's parent becomes the current. */
  Close,
  /** A = node. It becomes the current; 0 is the root. */
  At,
  /** What is opened next stands nowhere yet. */
  Hold,
  /** A = parent; before. All that is held is put before a node, 0: at the end. */
  Put,
  /** A = length. All content of the current becomes this text. */
  Text,
  /** A = length; node. A new text, last in the current. */
  Node,
  /** A = name; length. An attribute of the current. */
  Attribute,
  /** A = name. */
  Unattribute,
  /** A = name; 0 or 1. An attribute or property that is there or not. */
  Flag,
  /** A = length. The classes of the current. */
  Class,
  /** A = name; 0 or 1. One class of the current. */
  Toggle,
  /** A = length. The value of a field. */
  Value,
  /** A = name of an event; message; argument. */
  On,
  /** A = name of an event. */
  Off,
  /** A = node; before. Moves a child of the current. */
  Move,
  /** A = node. Takes it away, with all that is in it. */
  Remove,
  /** Takes all content of the current away. */
  Clear,
  /** Gives the current the focus. */
  Focus,
  /** A = name; message; length. Asks the page for what it grants. */
  Call,
  /** A = length. The state, as an answer to `Message.Save`. */
  State,
  /** A = node; first. A copy of an element and those in it, without texts; they are numbered from `first` on. */
  Copy,
  /** A = name. The classes of the current, by a name. */
  ClassName,
  /** A = name of an event; node; message; argument. As `On`, for one that is not the current. */
  OnAt,
}

/** Messages from the page itself. A component's own are below 2^21. */
export const enum Message {
  Start = 0xffff_ffff,
  Save = 0xffff_fffe,
  Restore = 0xffff_fffd,
  Show = 0xffff_fffc,
  Hide = 0xffff_fffb,
}

/** What a component answers with: commands, and all their texts as one. */
export interface Patch {
  readonly words: Uint32Array;
  readonly text: string;
}

/** Takes an event to a component. */
export type Send = (message: number, argument?: number, detail?: number, text?: string) => void;
