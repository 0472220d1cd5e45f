//! A peer of `cargo xtask bench web`: the table in Leptos, as js-framework-benchmark's keyed entry does it.
#![forbid(unsafe_code)]

use std::cell::Cell;

use leptos::ev;
use leptos::prelude::*;
use leptos::wasm_bindgen::JsCast as _;
use leptos::web_sys::HtmlElement;

const ADJECTIVES: &str = "pretty large big small tall short long handsome plain quaint clean elegant easy angry crazy helpful mushy odd unsightly adorable important inexpensive cheap expensive fancy";
const COLOURS: &str =
    "red yellow blue green pink brown purple brown white black orange";
const NOUNS: &str = "table chair house bbq desk car pony cookie sandwich burger pizza mouse keyboard";

thread_local! {
    static NEXT: Cell<usize> = const { Cell::new(1) };
    static SEED: Cell<u32> = const { Cell::new(2_463_534_242) };
}

#[derive(Clone, PartialEq)]
struct Row {
    id: usize,
    label: ArcRwSignal<String>,
}

fn random<'w>(words: &[&'w str]) -> &'w str {
    let mut seed = SEED.get();
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    SEED.set(seed);
    words[seed as usize % words.len()]
}

fn make(count: usize) -> Vec<Row> {
    let [adjectives, colours, nouns] =
        [ADJECTIVES, COLOURS, NOUNS].map(|words| words.split(' ').collect::<Vec<_>>());
    (0..count)
        .map(|_| {
            let id = NEXT.get();
            NEXT.set(id + 1);
            let (adjective, colour, noun) =
                (random(&adjectives), random(&colours), random(&nouns));
            Row {
                id,
                label: ArcRwSignal::new(format!("{adjective} {colour} {noun}")),
            }
        })
        .collect()
}

#[component]
fn Rows() -> impl IntoView {
    let rows = RwSignal::new(Vec::<Row>::new());
    let selected = RwSignal::new(None::<usize>);
    let is_selected = Selector::new(move || selected.get());
    let does = move |what: &str| match what {
        "run" => {
            rows.set(make(1_000));
            selected.set(None);
        }
        "runlots" => {
            rows.set(make(10_000));
            selected.set(None);
        }
        "add" => rows.update(|rows| rows.append(&mut make(1_000))),
        "update" => rows.with_untracked(|rows| {
            for row in rows.iter().step_by(10) {
                row.label.update(|label| label.push_str(" !!!"));
            }
        }),
        "clear" => {
            rows.set(Vec::new());
            selected.set(None);
        }
        "swaprows" => rows.update(|rows| {
            if rows.len() > 998 {
                rows.swap(1, 998);
            }
        }),
        _ => {}
    };
    // The buttons stand on the page, as they do for every peer.
    window_event_listener(ev::click, move |event| {
        if let Some(target) = event.target().and_then(|one| one.dyn_into::<HtmlElement>().ok()) {
            does(&target.id());
        }
    });
    view! {
        <For
            each=move || rows.get()
            key=|row| row.id
            children=move |row: Row| {
                let id = row.id;
                let label = row.label.clone();
                let is_selected = is_selected.clone();
                view! {
                    <tr class:danger=move || is_selected.selected(&Some(id))>
                        <td class="col-md-1">{id}</td>
                        <td class="col-md-4">
                            <a class="lbl" on:click=move |_| selected.set(Some(id))>{move || label.get()}</a>
                        </td>
                        <td class="col-md-1">
                            <a class="remove" on:click=move |_| rows.update(|rows| rows.retain(|row| row.id != id))>
                                <span class="glyphicon glyphicon-remove" aria-hidden="true"></span>
                            </a>
                        </td>
                        <td class="col-md-6"></td>
                    </tr>
                }
            }
        />
    }
}

fn main() {
    let body = document().query_selector("tbody").ok().flatten();
    let body = body.and_then(|body| body.dyn_into::<HtmlElement>().ok());
    if let Some(body) = body {
        mount_to(body, || view! { <Rows /> }).forget();
    }
}
