// All images come in one bundle; each component has a memory of its own.
import { loadBundle } from "./ounce.js";

const KINDS = ["counter", "hundred", "counter", "hundred", "counter", "hundred", "counter", "hundred", "todomvc", "table"];
const began = performance.now();
await loadBundle("page.bundle");
const main = document.querySelector("main");
let ready = 0;
main.addEventListener("ounce-ready", () => {
  if (++ready === 100) document.querySelector("output").textContent = `100 components ready after ${(performance.now() - began).toFixed(0)} ms`;
});
for (let place = 0; place < 100; place++) {
  const component = document.createElement("ounce-component");
  const kind = KINDS[place % KINDS.length];
  component.setAttribute("src", kind + ".json");
  component.setAttribute("name", `${kind} ${place}`);
  component.setAttribute("grant", "storage route");
  main.append(component);
}
