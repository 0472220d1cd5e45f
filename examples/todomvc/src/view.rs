//! What is to be seen: the markup of the TodoMVC specification.

use ounce_ui::View;

use crate::{
    CLEAR, DESTROY, EDIT, Filter, KEY_EDIT, KEY_NEW, LEAVE, TOGGLE, TOGGLE_ALL, TYPED, Todo, Todos,
};

impl Todos {
    pub(crate) fn show(&self, view: &mut View<'_>) {
        view.element("section", |view| {
            view.class("todoapp");
            view.element("header", |view| {
                view.class("header");
                view.element("h1", |view| view.text("todos"));
                view.element("input", |view| {
                    view.class("new-todo");
                    view.attribute("placeholder", "What needs to be done?");
                    view.attribute("aria-label", "What needs to be done?");
                    view.value(&self.draft);
                    view.on("input", TYPED, 0);
                    view.on("keydown", KEY_NEW, 0);
                    view.focus(true);
                });
            });
            if !self.all.is_empty() {
                self.list(view);
                self.footer(view);
            }
        });
    }

    fn list(&self, view: &mut View<'_>) {
        view.element("main", |view| {
            view.class("main");
            view.element("input", |view| {
                view.class("toggle-all");
                view.attribute("id", "toggle-all");
                view.attribute("type", "checkbox");
                view.flag("checked", self.left() == 0);
                view.on("change", TOGGLE_ALL, 0);
            });
            view.element("label", |view| {
                view.attribute("for", "toggle-all");
                view.text("Mark all as complete");
            });
            view.element("ul", |view| {
                view.class("todo-list");
                for todo in &self.all {
                    let shown = match self.filter {
                        Filter::All => true,
                        Filter::Active => !todo.done,
                        Filter::Completed => todo.done,
                    };
                    if shown {
                        self.item(todo, view);
                    }
                }
            });
        });
    }

    fn item(&self, todo: &Todo, view: &mut View<'_>) {
        let editing = self.editing == todo.id;
        view.keyed(todo.id, "li", |view| {
            view.class(match (todo.done, editing) {
                (true, true) => "completed editing",
                (true, false) => "completed",
                (false, true) => "editing",
                (false, false) => "",
            });
            view.element("div", |view| {
                view.class("view");
                view.element("input", |view| {
                    view.class("toggle");
                    view.attribute("type", "checkbox");
                    view.attribute("aria-label", "Done");
                    view.flag("checked", todo.done);
                    view.on("change", TOGGLE, todo.id);
                });
                view.element("label", |view| {
                    view.on("dblclick", EDIT, todo.id);
                    view.text(&todo.title);
                });
                view.element("button", |view| {
                    view.class("destroy");
                    view.attribute("aria-label", "Delete");
                    view.on("click", DESTROY, todo.id);
                });
            });
            if editing {
                view.element("input", |view| {
                    view.class("edit");
                    view.attribute("aria-label", "Edit");
                    view.value(&todo.title);
                    view.on("keydown", KEY_EDIT, todo.id);
                    view.on("blur", LEAVE, todo.id);
                    view.focus(true);
                });
            }
        });
    }

    fn footer(&self, view: &mut View<'_>) {
        let left = self.left();
        view.element("footer", |view| {
            view.class("footer");
            view.element("span", |view| {
                view.class("todo-count");
                view.element("strong", |view| view.number(left as i32));
                view.text(if left == 1 {
                    " item left"
                } else {
                    " items left"
                });
            });
            view.element("ul", |view| {
                view.class("filters");
                for (filter, address, name) in [
                    (Filter::All, "#/", "All"),
                    (Filter::Active, "#/active", "Active"),
                    (Filter::Completed, "#/completed", "Completed"),
                ] {
                    view.element("li", |view| {
                        view.element("a", |view| {
                            if filter == self.filter {
                                view.class("selected");
                            }
                            view.attribute("href", address);
                            view.text(name);
                        });
                    });
                }
            });
            if left < self.all.len() {
                view.element("button", |view| {
                    view.class("clear-completed");
                    view.on("click", CLEAR, 0);
                    view.text("Clear completed");
                });
            }
        });
    }
}
