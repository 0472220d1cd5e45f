//! Elements and texts in their order: what a page's document is to a component,
//! and the HTML that says it.
//!
//! Nodes stand in one list and name each other by their places, so that a deep
//! tree is neither walked nor dropped by recursion.

use std::fmt::Write as _;

/// Most nodes of a tree: a copy of a copy doubles it with each command.
const MOST_NODES: usize = 1 << 20;
/// Most bytes of texts, names and attributes.
const MOST_BYTES: usize = 64 << 20;

/// Elements without content (HTML, 13.1.2).
const VOID: &[&str] = &[
    "area", "br", "col", "hr", "img", "input", "source", "track", "wbr",
];
/// Elements whose content is text alone (HTML, 13.1.2: escapable raw text).
const TEXT_ALONE: &[&str] = &["textarea", "title"];
/// Elements that swallow a line's end right after their tag.
const SWALLOWS_LINE: &[&str] = &["pre", "textarea"];
/// Elements whose property `value` is their attribute.
const WITH_VALUE: &[&str] = &[
    "button", "data", "input", "li", "meter", "option", "progress",
];

/// Flags that are properties of an element, which copies have not; as attributes
/// they say the same of an element that nobody has touched.
pub(super) const PROPERTIES: [&str; 3] = ["checked", "muted", "selected"];

/// A node's place in the list.
pub(super) type Place = usize;

/// The root, which is the page's own.
pub(super) const ROOT: Place = 0;

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// The root, or what holds nodes that stand nowhere yet.
    Holder,
    /// An element.
    Element(Element),
    /// A text.
    Text(String),
}

/// An element without what is in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Element {
    name: String,
    is_svg: bool,
    attributes: Vec<(String, String)>,
    /// What a field holds, which is no attribute.
    value: Option<String>,
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    parent: Option<Place>,
    first: Option<Place>,
    last: Option<Place>,
    before: Option<Place>,
    after: Option<Place>,
}

/// What a tree does not take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TreeError {
    /// It has become too large.
    #[error("there are more than {MOST_NODES} nodes or {MOST_BYTES} bytes of them")]
    TooMuch,
    /// Texts hold nothing.
    #[error("a text cannot hold others")]
    InText,
    /// Attributes are an element's.
    #[error("only an element has attributes, classes and a value")]
    NoElement,
    /// It would be its own ancestor.
    #[error("a node is put into itself")]
    Circle,
    /// It stands somewhere else.
    #[error("the node that another is put before stands elsewhere")]
    NotBefore,
}

/// A root and what is in it.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    bytes: usize,
}

impl Tree {
    /// An empty root.
    pub(super) fn new() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            bytes: 0,
        };
        tree.push(Kind::Holder);
        tree
    }

    fn push(&mut self, kind: Kind) -> Place {
        self.nodes.push(Node {
            kind,
            parent: None,
            first: None,
            last: None,
            before: None,
            after: None,
        });
        self.nodes.len() - 1
    }

    fn count(&mut self, bytes: usize) -> Result<(), TreeError> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > MOST_BYTES || self.nodes.len() >= MOST_NODES {
            true => Err(TreeError::TooMuch),
            false => Ok(()),
        }
    }

    /// A place for nodes that stand nowhere yet.
    pub(super) fn holder(&mut self) -> Result<Place, TreeError> {
        self.count(0)?;
        Ok(self.push(Kind::Holder))
    }

    /// A new element, nowhere yet.
    pub(super) fn element(&mut self, name: &str, is_svg: bool) -> Result<Place, TreeError> {
        self.count(name.len())?;
        let name = match is_svg {
            true => name.to_owned(),
            false => name.to_ascii_lowercase(),
        };
        Ok(self.push(Kind::Element(Element {
            name,
            is_svg,
            ..Element::default()
        })))
    }

    /// A new text, nowhere yet.
    pub(super) fn text(&mut self, text: &str) -> Result<Place, TreeError> {
        self.count(text.len())?;
        Ok(self.push(Kind::Text(text.to_owned())))
    }

    /// What a node stands in.
    pub(super) fn parent(&self, node: Place) -> Option<Place> {
        self.nodes[node].parent
    }

    /// Puts a node, or all that is held by it, into another: before one of its
    /// own, or last.
    pub(super) fn insert(
        &mut self,
        parent: Place,
        node: Place,
        before: Option<Place>,
    ) -> Result<(), TreeError> {
        if matches!(self.nodes[parent].kind, Kind::Text(_)) {
            return Err(TreeError::InText);
        }
        if before.is_some_and(|before| self.nodes[before].parent != Some(parent)) {
            return Err(TreeError::NotBefore);
        }
        // A node without content has no descendants to be put into.
        if self.nodes[node].first.is_some() || node == parent {
            let mut ancestor = Some(parent);
            while let Some(place) = ancestor {
                if place == node {
                    return Err(TreeError::Circle);
                }
                ancestor = self.nodes[place].parent;
            }
        }
        if matches!(self.nodes[node].kind, Kind::Holder) {
            while let Some(child) = self.nodes[node].first {
                self.link(parent, child, before);
            }
        } else if before != Some(node) {
            self.link(parent, node, before);
        }
        Ok(())
    }

    fn link(&mut self, parent: Place, node: Place, after: Option<Place>) {
        self.remove(node);
        let before = match after {
            Some(after) => self.nodes[after].before,
            None => self.nodes[parent].last,
        };
        let new = &mut self.nodes[node];
        (new.parent, new.before, new.after) = (Some(parent), before, after);
        match before {
            Some(before) => self.nodes[before].after = Some(node),
            None => self.nodes[parent].first = Some(node),
        }
        match after {
            Some(after) => self.nodes[after].before = Some(node),
            None => self.nodes[parent].last = Some(node),
        }
    }

    /// Takes a node from where it stands.
    pub(super) fn remove(&mut self, node: Place) {
        let old = &mut self.nodes[node];
        let (parent, before, after) = (old.parent.take(), old.before.take(), old.after.take());
        let Some(parent) = parent else {
            return;
        };
        match before {
            Some(before) => self.nodes[before].after = after,
            None => self.nodes[parent].first = after,
        }
        match after {
            Some(after) => self.nodes[after].before = before,
            None => self.nodes[parent].last = before,
        }
    }

    /// Takes all that is in a node away.
    pub(super) fn clear(&mut self, node: Place) {
        while let Some(child) = self.nodes[node].first {
            self.remove(child);
        }
        if let Kind::Text(text) = &mut self.nodes[node].kind {
            text.clear();
        }
    }

    /// Makes a text all that is in a node, or of a text node the text.
    pub(super) fn set_text(&mut self, node: Place, text: &str) -> Result<(), TreeError> {
        self.clear(node);
        if let Kind::Text(old) = &mut self.nodes[node].kind {
            *old = text.to_owned();
            return self.count(text.len());
        }
        if text.is_empty() {
            return Ok(());
        }
        let made = self.text(text)?;
        self.insert(node, made, None)
    }

    fn element_at(&mut self, node: Place) -> Result<&mut Element, TreeError> {
        match &mut self.nodes[node].kind {
            Kind::Element(element) => Ok(element),
            _ => Err(TreeError::NoElement),
        }
    }

    /// Sets an attribute, or takes it away.
    pub(super) fn set_attribute(
        &mut self,
        node: Place,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), TreeError> {
        self.count(name.len() + value.map_or(0, str::len))?;
        let element = self.element_at(node)?;
        let name = match element.is_svg {
            true => name.to_owned(),
            false => name.to_ascii_lowercase(),
        };
        let place = element.attributes.iter().position(|(own, _)| *own == name);
        match (place, value) {
            (Some(place), Some(value)) => element.attributes[place].1 = value.to_owned(),
            (Some(place), None) => {
                element.attributes.remove(place);
            }
            (None, Some(value)) => element.attributes.push((name, value.to_owned())),
            (None, None) => {}
        }
        Ok(())
    }

    /// Whether one of the classes is set, from now on.
    pub(super) fn toggle(&mut self, node: Place, class: &str, on: bool) -> Result<(), TreeError> {
        let old = self.element_at(node)?.attribute("class");
        if old.is_none() && !on {
            return Ok(());
        }
        let old = old.unwrap_or_default();
        let mut classes: Vec<&str> = Vec::new();
        for one in old.split_ascii_whitespace() {
            if one != class && !classes.contains(&one) {
                classes.push(one);
            }
        }
        if on {
            // Where it stands already it stays.
            let place = old.split_ascii_whitespace().position(|one| one == class);
            classes.insert(place.unwrap_or(classes.len()).min(classes.len()), class);
        }
        let classes = classes.join(" ");
        self.set_attribute(node, "class", Some(&classes))
    }

    /// Sets what a field holds.
    pub(super) fn set_value(&mut self, node: Place, value: &str) -> Result<(), TreeError> {
        self.count(value.len())?;
        self.element_at(node)?.value = Some(value.to_owned());
        Ok(())
    }

    /// A copy of an element and those in it, without texts, nowhere yet, and the
    /// places of the copies in their order, its own first.
    pub(super) fn copy(&mut self, node: Place) -> Result<(Place, Vec<Place>), TreeError> {
        let top = self.copy_alone(node)?;
        let mut elements = vec![top];
        let (mut from, mut to) = (node, top);
        loop {
            // Down, else along, else up and along.
            if let Some(child) = self.element_from(self.nodes[from].first) {
                from = child;
            } else {
                let along = loop {
                    if from == node {
                        return Ok((top, elements));
                    }
                    to = self.nodes[to].parent.unwrap_or(top);
                    match self.element_from(self.nodes[from].after) {
                        Some(along) => break along,
                        None => from = self.nodes[from].parent.unwrap_or(node),
                    }
                };
                from = along;
            }
            let made = self.copy_alone(from)?;
            self.link(to, made, None);
            elements.push(made);
            to = made;
        }
    }

    /// The first element among a node and those after it.
    fn element_from(&self, mut node: Option<Place>) -> Option<Place> {
        while let Some(place) = node {
            if matches!(self.nodes[place].kind, Kind::Element(_)) {
                return node;
            }
            node = self.nodes[place].after;
        }
        None
    }

    /// What is markup of an element: neither what it holds nor what is chosen.
    fn copy_alone(&mut self, node: Place) -> Result<Place, TreeError> {
        let mut copy = self.element_at(node)?.clone();
        copy.value = None;
        copy.attributes
            .retain(|(name, _)| !PROPERTIES.contains(&name.as_str()));
        let attributes = copy.attributes.iter();
        let attributes: usize = attributes
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.count(copy.name.len() + attributes)?;
        Ok(self.push(Kind::Element(copy)))
    }

    /// What is in the root, as HTML that a parser reads as the same nodes:
    /// between two texts stands an empty comment.
    pub(super) fn html(&self) -> String {
        let mut html = String::new();
        let mut node = ROOT;
        let mut shut: Option<Place> = None;
        let mut choice: Option<(Place, &str)> = None;
        loop {
            let inner = self.nodes[node].first;
            let is_shut = shut.is_some();
            if node != ROOT {
                self.begin(node, is_shut, &mut choice, &mut html);
            }
            if let Kind::Element(element) = &self.nodes[node].kind
                && !is_shut
                && element.is_one_of(TEXT_ALONE)
            {
                shut = Some(node);
            }
            let skips = matches!(&self.nodes[node].kind, Kind::Element(element)
                if element.is_one_of(VOID) || (element.is("textarea") && element.value.is_some()));
            if let Some(inner) = inner.filter(|_| !skips) {
                node = inner;
                continue;
            }
            loop {
                if shut == Some(node) {
                    shut = None;
                }
                if choice.is_some_and(|(select, _)| select == node) {
                    choice = None;
                }
                if node == ROOT {
                    return html;
                }
                self.end(node, shut.is_some(), &mut html);
                if let Some(after) = self.nodes[node].after {
                    node = after;
                    break;
                }
                node = self.nodes[node].parent.unwrap_or(ROOT);
            }
        }
    }

    fn begin<'t>(
        &'t self,
        node: Place,
        is_shut: bool,
        choice: &mut Option<(Place, &'t str)>,
        html: &mut String,
    ) {
        let element = match &self.nodes[node].kind {
            Kind::Holder => return,
            Kind::Text(text) => {
                let before = self.nodes[node]
                    .before
                    .map(|before| &self.nodes[before].kind);
                if !is_shut && matches!(before, Some(Kind::Text(_))) {
                    html.push_str("<!---->");
                }
                escape(text, html);
                return;
            }
            Kind::Element(element) => element,
        };
        if is_shut {
            return;
        }
        html.push('<');
        html.push_str(&element.name);
        let value = element
            .value
            .as_deref()
            .filter(|_| element.is_one_of(WITH_VALUE));
        let chosen = match choice {
            Some((_, value)) if element.is("option") => {
                Some(self.value_of(node, element) == *value)
            }
            _ => None,
        };
        for (name, text) in &element.attributes {
            let is_said_else =
                (name == "value" && value.is_some()) || (name == "selected" && chosen.is_some());
            if !is_said_else {
                attribute(name, text, html);
            }
        }
        // Without either it is empty.
        let is_said =
            value.is_some_and(|value| !value.is_empty()) || element.attribute("value").is_some();
        if let Some(value) = value.filter(|_| is_said) {
            attribute("value", value, html);
        }
        if chosen == Some(true) {
            attribute("selected", "", html);
        }
        html.push('>');
        match &element.value {
            Some(value) if element.is("textarea") => {
                if value.starts_with('\n') {
                    html.push('\n');
                }
                escape(value, html);
            }
            Some(value) if element.is("select") && choice.is_none() => {
                *choice = Some((node, value));
            }
            _ => {
                let first = self.nodes[node].first.map(|first| &self.nodes[first].kind);
                if element.is_one_of(SWALLOWS_LINE)
                    && matches!(first, Some(Kind::Text(text)) if text.starts_with('\n'))
                {
                    html.push('\n');
                }
            }
        }
    }

    fn end(&self, node: Place, is_shut: bool, html: &mut String) {
        if let Kind::Element(element) = &self.nodes[node].kind
            && !is_shut
            && !element.is_one_of(VOID)
        {
            html.push_str("</");
            html.push_str(&element.name);
            html.push('>');
        }
    }

    /// What an option stands for (HTML, 4.10.10).
    fn value_of(&self, node: Place, element: &Element) -> String {
        if let Some(value) = &element.value {
            return value.clone();
        }
        if let Some(value) = element.attribute("value") {
            return value;
        }
        let mut text = String::new();
        let mut child = self.nodes[node].first;
        while let Some(place) = child {
            if let Kind::Text(part) = &self.nodes[place].kind {
                text.push_str(part);
            }
            child = self.nodes[place].after;
        }
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Element {
    fn is(&self, name: &str) -> bool {
        !self.is_svg && self.name == name
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        !self.is_svg && names.contains(&self.name.as_str())
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let found = self.attributes.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    }
}

fn attribute(name: &str, value: &str, html: &mut String) {
    html.push(' ');
    html.push_str(name);
    html.push_str("=\"");
    escape(value, html);
    html.push('"');
}

/// Text that is text wherever it stands: between tags and in quotes.
fn escape(text: &str, html: &mut String) {
    for char in text.chars() {
        match char {
            '&' | '<' | '>' | '"' | '\r' => {
                // Writing to a string does not fail.
                let _ = write!(html, "&#{};", u32::from(char));
            }
            // No text of HTML has it: parsers put this in its place, or nothing.
            '\0' => html.push(char::REPLACEMENT_CHARACTER),
            char => html.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(build: impl FnOnce(&mut Tree) -> Result<(), TreeError>) -> String {
        let mut tree = Tree::new();
        build(&mut tree).unwrap();
        tree.html()
    }

    fn into(tree: &mut Tree, parent: Place, name: &str) -> Place {
        let made = tree.element(name, false).unwrap();
        tree.insert(parent, made, None).unwrap();
        made
    }

    #[test]
    fn nothing_in_a_text_or_a_value_becomes_markup() {
        let hostile = "</p><script>alert('1')</script>\"'`&amp;\r\0<!--";
        let html = tree(|tree| {
            let p = into(tree, ROOT, "p");
            tree.set_attribute(p, "title", Some(hostile))?;
            tree.set_text(p, hostile)?;
            let area = into(tree, ROOT, "textarea");
            tree.set_value(area, "</textarea><script>")?;
            let title = into(tree, ROOT, "title");
            let inner = into(tree, title, "b");
            tree.set_text(inner, "</title><script>")
        });
        assert_eq!(html.matches("<").count(), html.matches(">").count());
        assert!(!html.to_lowercase().contains("<script"), "{html}");
        assert!(!html.contains("<!--"), "{html}");
        assert_eq!(html.matches("</textarea>").count(), 1, "{html}");
        assert_eq!(html.matches("</title>").count(), 1, "{html}");
        // Elements in a title are only text to a parser.
        assert!(!html.contains("<b>"), "{html}");
        assert_eq!(html.matches('"').count(), 2, "{html}");
        assert!(!html.contains(['\r', '\0']), "{html}");
    }

    #[test]
    fn markup_is_read_as_the_same_nodes() {
        let html = tree(|tree| {
            let pre = into(tree, ROOT, "pre");
            tree.set_text(pre, "\nline")?;
            for text in ["a", "b"] {
                let text = tree.text(text)?;
                tree.insert(ROOT, text, None)?;
            }
            let br = into(tree, ROOT, "BR");
            let inside = tree.text("lost, as in the document")?;
            tree.insert(br, inside, None)?;
            let svg = tree.element("linearGradient", true)?;
            tree.set_attribute(svg, "viewBox", Some("0"))?;
            tree.insert(ROOT, svg, None)
        });
        assert_eq!(
            html,
            "<pre>\n\nline</pre>a<!---->b<br><linearGradient viewBox=\"0\"></linearGradient>"
        );
    }

    #[test]
    fn fields_show_what_they_hold() {
        let html = tree(|tree| {
            let input = into(tree, ROOT, "input");
            tree.set_attribute(input, "value", Some("old"))?;
            tree.set_value(input, "new")?;
            let select = into(tree, ROOT, "select");
            tree.set_value(select, "2")?;
            for (value, is_selected) in [("1", true), ("2", false)] {
                let option = into(tree, select, "option");
                tree.set_text(option, value)?;
                if is_selected {
                    tree.set_attribute(option, "selected", Some(""))?;
                }
            }
            let empty = into(tree, ROOT, "input");
            tree.set_value(empty, "")?;
            let div = into(tree, ROOT, "div");
            tree.set_value(div, "no attribute")
        });
        assert_eq!(
            html,
            "<input value=\"new\"><select><option>1</option>\
             <option selected=\"\">2</option></select><input><div></div>"
        );
    }

    #[test]
    fn a_node_is_moved_copied_and_never_put_into_itself() {
        let mut tree = Tree::new();
        let list = into(&mut tree, ROOT, "ul");
        let items: Vec<Place> = ["a", "b", "c"]
            .iter()
            .map(|text| {
                let item = into(&mut tree, list, "li");
                tree.set_text(item, text).unwrap();
                item
            })
            .collect();
        tree.insert(list, items[2], Some(items[0])).unwrap();
        tree.insert(list, items[2], Some(items[2])).unwrap();
        let (copy, elements) = tree.copy(list).unwrap();
        assert_eq!(elements.len(), 4);
        tree.insert(ROOT, copy, None).unwrap();
        tree.remove(elements[1]);
        assert_eq!(
            tree.html(),
            "<ul><li>c</li><li>a</li><li>b</li></ul><ul><li></li><li></li></ul>"
        );
        assert_eq!(tree.insert(items[0], list, None), Err(TreeError::Circle));
        assert_eq!(tree.insert(list, list, None), Err(TreeError::Circle));
        assert_eq!(
            tree.insert(ROOT, copy, Some(items[0])),
            Err(TreeError::NotBefore)
        );
        let text = tree.text("t").unwrap();
        assert_eq!(tree.insert(text, list, None), Err(TreeError::InText));
    }

    #[test]
    fn copies_of_copies_end_by_the_limit_and_a_deep_tree_is_walked() {
        let mut tree = Tree::new();
        let top = into(&mut tree, ROOT, "p");
        let mut ended = Ok(());
        for _ in 0..64 {
            ended = tree
                .copy(top)
                .and_then(|(copy, _)| tree.insert(top, copy, None));
            if ended.is_err() {
                break;
            }
        }
        assert_eq!(ended, Err(TreeError::TooMuch));
        let mut tree = Tree::new();
        let mut place = ROOT;
        for _ in 0..100_000 {
            place = into(&mut tree, place, "i");
        }
        assert_eq!(tree.html().len(), 100_000 * "<i></i>".len());
        let top = tree.nodes[ROOT].first.unwrap();
        assert_eq!(tree.copy(top).unwrap().1.len(), 100_000);
    }

    #[test]
    fn one_class_comes_and_goes() {
        let mut tree = Tree::new();
        let p = into(&mut tree, ROOT, "p");
        tree.set_attribute(p, "class", Some("a  b a")).unwrap();
        tree.toggle(p, "c", true).unwrap();
        tree.toggle(p, "b", false).unwrap();
        tree.toggle(p, "a", true).unwrap();
        let other = into(&mut tree, ROOT, "p");
        tree.toggle(other, "a", false).unwrap();
        assert_eq!(tree.html(), "<p class=\"a c\"></p><p></p>");
    }
}
