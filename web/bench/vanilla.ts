/** By hand, as js-framework-benchmark's vanillajs does it: a template that is cloned, one listener. */
import { make, type Row } from "./data";

const body = document.querySelector("tbody")!;
const template = document.createElement("tr");
template.innerHTML = '<td class="col-md-1"></td><td class="col-md-4"><a class="lbl"></a></td><td class="col-md-1"><a class="remove"><span class="glyphicon glyphicon-remove" aria-hidden="true"></span></a></td><td class="col-md-6"></td>';

let rows: Row[] = [];
let selected: Element | undefined;

const element = (row: Row): HTMLTableRowElement => {
  const made = template.cloneNode(true) as HTMLTableRowElement & { row: Row };
  made.row = row;
  made.firstChild!.textContent = `${row.id}`;
  made.childNodes[1]!.firstChild!.textContent = row.label;
  return made;
};
const append = (more: Row[]): void => {
  rows = rows.concat(more);
  const all = document.createDocumentFragment();
  for (const row of more) all.appendChild(element(row));
  body.appendChild(all);
};
const clear = (): void => {
  rows = [];
  selected = undefined;
  body.textContent = "";
};

const does: Record<string, () => void> = {
  run: () => (clear(), append(make(1000))),
  runlots: () => (clear(), append(make(10000))),
  add: () => append(make(1000)),
  update() {
    for (let place = 0; place < rows.length; place += 10) {
      const row = rows[place]!;
      row.label += " !!!";
      body.childNodes[place]!.childNodes[1]!.firstChild!.firstChild!.nodeValue = row.label;
    }
  },
  clear,
  swaprows() {
    if (rows.length < 999) return;
    [rows[1], rows[998]] = [rows[998]!, rows[1]!];
    const [one, other] = [body.childNodes[1]!, body.childNodes[998]!];
    const after = other.nextSibling;
    body.insertBefore(other, one);
    body.insertBefore(one, after);
  },
};
for (const button of document.querySelectorAll("button")) button.addEventListener("click", does[button.id]!);
body.addEventListener("click", (event) => {
  const target = event.target as Element;
  const row = target.closest("tr") as (HTMLTableRowElement & { row: Row }) | null;
  if (!row) return;
  if (target.closest(".remove")) {
    rows.splice(rows.indexOf(row.row), 1);
    row.remove();
  } else if (target.closest(".lbl")) {
    if (selected) selected.className = "";
    selected = row;
    row.className = "danger";
  }
});
