/** What a component may put on a page: no script, no other document, no address that runs code. */

// Among them those in which a server cannot escape texts.
const DENIED_TAGS =
  /^(.*(script|frame.*|embed)|portal|object|applet|base|meta|link|style|template|plaintext|xmp|listing|animate.*|set|use|foreignobject|html|head|body)$/i;
const DENIED_ATTRIBUTES = /^(on.*|srcdoc|is|nonce|ping|style|http-equiv)$/i;
const ADDRESSES = /^((xlink:)?href|src|action|formaction|poster|data|cite|background)$/i;
const SCHEMES = /^(https?|mailto|tel):/i;

/** Whether an element of this name may be made. Names with a hyphen run the page's own code. */
export const permitsTag = (name: string): boolean => /^[a-z][a-z0-9]*$/i.test(name) && !DENIED_TAGS.test(name);

/** 0: it may not be set, 1: it may, 2: it may where its value is an address that runs no code. */
export const attributeKind = (name: string): 0 | 1 | 2 =>
  !/^[a-z][\w:.-]*$/i.test(name) || DENIED_ATTRIBUTES.test(name) ? 0 : ADDRESSES.test(name) ? 2 : 1;

/** Whether an address is relative, or of a scheme that runs no code. */
export const permitsAddress = (value: string): boolean => {
  // Browsers leave these out before they look for a scheme.
  const plain = value.replace(/[\0-\x20]+/g, "");
  return SCHEMES.test(plain) || !/^[^/?#]*:/.test(plain);
};
