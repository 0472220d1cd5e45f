/** Lit's templates with keyed repetition, as js-framework-benchmark's keyed entry does it. */
import { html, render } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { make, type Row } from "./data";

const body = document.querySelector("tbody")!;
let rows: Row[] = [];
let selected = 0;

const show = (): void =>
  render(
    repeat(
      rows,
      (row) => row.id,
      (row) =>
        html`<tr class=${row.id === selected ? "danger" : ""}><td class="col-md-1">${row.id}</td><td class="col-md-4"><a class="lbl">${row.label}</a></td><td class="col-md-1"><a class="remove"><span class="glyphicon glyphicon-remove" aria-hidden="true"></span></a></td><td class="col-md-6"></td></tr>`,
    ),
    body,
  );

const does: Record<string, () => void> = {
  run() {
    rows = make(1000);
    selected = 0;
  },
  runlots() {
    rows = make(10000);
    selected = 0;
  },
  add() {
    rows = rows.concat(make(1000));
  },
  update() {
    for (let place = 0; place < rows.length; place += 10) rows[place]!.label += " !!!";
  },
  clear() {
    rows = [];
    selected = 0;
  },
  swaprows() {
    if (rows.length > 998) [rows[1], rows[998]] = [rows[998]!, rows[1]!];
  },
};
for (const button of document.querySelectorAll("button")) {
  button.addEventListener("click", () => {
    does[button.id]!();
    show();
  });
}
body.addEventListener("click", (event) => {
  const target = event.target as Element;
  const id = +(target.closest("tr")?.firstElementChild?.textContent ?? 0);
  if (target.closest(".remove")) rows = rows.filter((row) => row.id !== id);
  else if (target.closest(".lbl")) selected = id;
  else return;
  show();
});
show();
