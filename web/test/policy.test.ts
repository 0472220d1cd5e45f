import { expect, test } from "vitest";
import { attributeKind, permitsAddress, permitsTag } from "../src/policy";

test("elements that run code, load documents or are the page's own are refused", () => {
  for (const tag of ["script", "SCRIPT", "iframe", "object", "embed", "base", "meta", "link", "style", "template", "plaintext", "xmp", "noembed", "noframes", "listing", "animate", "animateMotion", "set", "use", "foreignObject", "ounce-component", "x-y", "", "a b", "svg:script", "body"]) {
    expect(permitsTag(tag), tag).toBe(false);
  }
  for (const tag of ["div", "h1", "button", "svg", "path", "input", "table"]) expect(permitsTag(tag), tag).toBe(true);
});

test("attributes that run code are refused, and those with addresses are looked at", () => {
  for (const name of ["onclick", "ONCLICK", "onfocus", "srcdoc", "style", "nonce", "is", "", "a b", "1x"]) expect(attributeKind(name), name).toBe(0);
  for (const name of ["href", "SRC", "xlink:href", "formaction", "action", "poster"]) expect(attributeKind(name), name).toBe(2);
  for (const name of ["class", "id", "aria-label", "data-x", "viewBox", "for"]) expect(attributeKind(name), name).toBe(1);
});

test("an address that runs code is refused however it is written", () => {
  for (const address of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:x", "java\nscript:x", "java\tscript:x", "\u0001javascript:x", "data:text/html,x", "vbscript:x", "blob:x", "file:///x"]) {
    expect(permitsAddress(address), JSON.stringify(address)).toBe(false);
  }
  for (const address of ["", "#/active", "/a:b", "a/b:c", "?q=a:b", "https://example.org/", "HTTP://example.org", "mailto:a@example.org", "x.html"]) {
    expect(permitsAddress(address), address).toBe(true);
  }
});
