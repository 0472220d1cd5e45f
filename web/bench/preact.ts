/** Preact, as js-framework-benchmark's keyed entry does it; rendered at once, not at the next frame. */
import { Component, h, options, render } from "preact";
import { make, type Row as Data } from "./data";

// What it would do later is part of what is measured.
options.debounceRendering = (work) => work();

interface Props {
  readonly item: Data;
  readonly selected: boolean;
  readonly select: (id: number) => void;
  readonly remove: (id: number) => void;
}

class Row extends Component<Props> {
  override shouldComponentUpdate(next: Props): boolean {
    return next.item !== this.props.item || next.selected !== this.props.selected;
  }
  override render({ item, selected, select, remove }: Props) {
    return h("tr", { class: selected ? "danger" : null }, [
      h("td", { class: "col-md-1" }, item.id),
      h("td", { class: "col-md-4" }, h("a", { class: "lbl", onClick: () => select(item.id) }, item.label)),
      h("td", { class: "col-md-1" }, h("a", { class: "remove", onClick: () => remove(item.id) }, h("span", { class: "glyphicon glyphicon-remove", "aria-hidden": "true" }))),
      h("td", { class: "col-md-6" }),
    ]);
  }
}

class Body extends Component<object, { rows: Data[]; selected: number }> {
  override state = { rows: [] as Data[], selected: 0 };
  select = (selected: number): void => this.setState({ selected });
  remove = (id: number): void => this.setState(({ rows }) => ({ rows: rows.filter((row) => row.id !== id) }));
  override componentDidMount(): void {
    const does: Record<string, () => void> = {
      run: () => this.setState({ rows: make(1000), selected: 0 }),
      runlots: () => this.setState({ rows: make(10000), selected: 0 }),
      add: () => this.setState(({ rows }) => ({ rows: rows.concat(make(1000)) })),
      update: () => this.setState(({ rows }) => ({ rows: rows.map((row, place) => (place % 10 ? row : { ...row, label: row.label + " !!!" })) })),
      clear: () => this.setState({ rows: [], selected: 0 }),
      swaprows: () =>
        this.setState(({ rows }) => {
          if (rows.length < 999) return null;
          const all = rows.slice();
          [all[1], all[998]] = [all[998]!, all[1]!];
          return { rows: all };
        }),
    };
    for (const button of document.querySelectorAll("button")) button.addEventListener("click", does[button.id]!);
  }
  override render(_: object, { rows, selected }: { rows: Data[]; selected: number }) {
    return rows.map((item) => h(Row, { key: item.id, item, selected: item.id === selected, select: this.select, remove: this.remove }));
  }
}

render(h(Body, {}), document.querySelector("tbody")!);
