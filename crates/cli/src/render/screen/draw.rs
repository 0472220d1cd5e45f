//! The screen as it is drawn.

use ounce_oci::ByteSize;
use ounce_weigh::kind::FileKind;
use ounce_weigh::sizes::Share;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::{Screen, VIEWS, View, treemap};

/// Smallest rectangle of the map that is drawn with a frame and a name.
const NAMED: (u16, u16) = (8, 3);

/// Draws it, and notes how many lines fit.
pub(super) fn draw(screen: &mut Screen<'_>, frame: &mut Frame<'_>, is_plain: bool) {
    let [head, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    screen.height = usize::from(body.height).saturating_sub(1).max(1);
    frame.render_widget(headline(screen), head);
    frame.render_widget(tab_line(screen), tabs);
    match screen.view {
        View::Map => map(screen, frame, body, is_plain),
        _ => table(screen, frame, body),
    }
    frame.render_widget(footline(screen), foot);
}

fn bold(text: String) -> Span<'static> {
    Span::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn headline(screen: &Screen<'_>) -> Line<'static> {
    let (name, weight, _) = &screen.images[screen.image];
    let count = match screen.images.len() {
        1 => String::new(),
        all => format!(" ({} of {all})", screen.image + 1),
    };
    Line::from(vec![
        bold(format!("{name}{count}")),
        Span::raw(format!(
            "  {} pulled, {} unpacked, {} files, {} hidden by upper layers",
            weight.pulled_bytes, weight.unpacked_bytes, weight.files, weight.waste.bytes
        )),
    ])
}

fn tab_line(screen: &Screen<'_>) -> Line<'static> {
    let mut spans = Vec::new();
    for (view, name) in VIEWS {
        let style = match view == screen.view {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        spans.push(Span::styled(format!(" {name} "), style));
    }
    let mut state = format!("  by {}", screen.order.name());
    if let Some(layer) = screen.layer {
        state.push_str(&format!(", layer {layer} only"));
    }
    spans.push(Span::raw(state));
    Line::from(spans)
}

fn footline(screen: &Screen<'_>) -> Line<'static> {
    if screen.is_typing {
        return Line::from(vec![bold(format!("/{}_", screen.search))]);
    }
    let next = match screen.images.len() {
        1 => "",
        _ => "  n next image",
    };
    let back = match (screen.is_searching(), screen.layer) {
        (true, _) => format!("  Esc ends the search for {:?}", screen.search),
        (_, Some(_)) => "  Esc all layers".to_owned(),
        _ => String::new(),
    };
    Line::from(format!(
        "↑↓ move  ←→ close, open  Tab view  / search  s sort{next}{back}  q quit"
    ))
}

/// A number in a column of its own.
fn right(text: &str) -> String {
    format!("{text:>10}")
}

fn size(bytes: u64) -> String {
    right(&ByteSize(bytes).to_string())
}

/// How much of the whole, as a bar of eight cells.
fn bar(part: u64, whole: u64) -> String {
    const CELLS: u64 = 8;
    let full = (part * CELLS)
        .checked_div(whole)
        .unwrap_or_default()
        .min(CELLS) as usize;
    format!("{}{}", "█".repeat(full), "·".repeat(CELLS as usize - full))
}

fn table(screen: &Screen<'_>, frame: &mut Frame<'_>, area: Rect) {
    let (title, line): (String, Box<dyn Fn(usize) -> String + '_>) = match screen.view {
        View::Files | View::Map => files(screen),
        View::Layers => layers(screen),
        View::Packages => packages(screen),
        View::Kinds => kinds(screen),
    };
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::from(vec![bold(title)]), head);
    let length = screen.length();
    if length == 0 {
        frame.render_widget(Paragraph::new("nothing"), body);
        return;
    }
    let cursor = screen.cursor();
    let height = usize::from(body.height);
    // The cursor in the middle, but no empty lines at either end.
    let first = cursor
        .saturating_sub(height / 2)
        .min(length.saturating_sub(height));
    for (line_number, number) in (first..length).take(height).enumerate() {
        let style = match number == cursor {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        let place = Rect {
            y: body.y + line_number as u16,
            height: 1,
            ..body
        };
        frame.render_widget(Line::styled(line(number), style), place);
    }
}

type Rows<'a> = (String, Box<dyn Fn(usize) -> String + 'a>);

fn files<'a>(screen: &'a Screen<'_>) -> Rows<'a> {
    let title = format!("{}           PATH", measures_title());
    let whole = screen.tree.node(0).compressed;
    let line = move |number: usize| {
        let row = screen.rows[number];
        let node = screen.tree.node(row.node);
        let name = match screen.is_searching() {
            true => screen.tree.path(row.node),
            false => node.name.clone(),
        };
        let mark = match (node.kind, screen.open.contains(&row.node)) {
            (Some(_), _) => "  ",
            (None, true) => "▾ ",
            (None, false) => "▸ ",
        };
        let kind = match node.kind {
            Some(kind) => format!("  ({}, layer {})", kind.name(), node.layer),
            None => "/".to_owned(),
        };
        let (compressed, bytes) = (ByteSize(node.compressed), ByteSize(node.bytes));
        format!(
            "{}  {} {}{mark}{name}{kind}",
            measures(
                &compressed.to_string(),
                &bytes.to_string(),
                &node.files.to_string()
            ),
            bar(node.compressed, whole),
            "  ".repeat(row.depth.min(40)),
        )
    };
    (title, Box::new(line))
}

fn layers<'a>(screen: &'a Screen<'_>) -> Rows<'a> {
    let weight = screen.weight();
    let title = format!(
        "LAYER{}{}{}{}  DIGEST",
        right("PULLED"),
        right("CONTENT"),
        right("HIDDEN"),
        right("ENTRIES")
    );
    let line = move |number: usize| {
        let layer = &weight.layers[number];
        format!(
            "{number:>5}{}{}{}{}  {}",
            size(layer.compressed_bytes.0),
            size(layer.content_bytes.0),
            size(layer.hidden_bytes.0),
            right(&layer.entries.to_string()),
            layer.digest
        )
    };
    (title, Box::new(line))
}

fn packages<'a>(screen: &'a Screen<'_>) -> Rows<'a> {
    shares("PACKAGE", &screen.weight().packages, |package| {
        let name = format!("{} {}  ({})", package.name, package.version, package.record);
        (package.share, name)
    })
}

fn kinds<'a>(screen: &'a Screen<'_>) -> Rows<'a> {
    shares("KIND", &screen.weight().kinds, |kind| {
        let note = match kind.is_dispensable {
            true => "  (hardly ever needed)",
            false => "",
        };
        (kind.share, format!("{}{note}", kind.kind.name()))
    })
}

/// Columns that tell an image's files, in all or in part.
fn measures(compressed: &str, bytes: &str, files: &str) -> String {
    format!("{}{}{}", right(compressed), right(bytes), right(files))
}

fn measures_title() -> String {
    measures("PULLED", "UNPACKED", "FILES")
}

/// A table of parts of the image: how much each is, and what.
fn shares<'a, T>(
    title: &str,
    parts: &'a [T],
    part: impl Fn(&'a T) -> (Share, String) + 'a,
) -> Rows<'a> {
    let line = move |number: usize| {
        let (share, name) = part(&parts[number]);
        let files = share.files.to_string();
        let (compressed, bytes) = (share.compressed_bytes.to_string(), share.bytes.to_string());
        format!("{}  {name}", measures(&compressed, &bytes, &files))
    };
    (format!("{}  {title}", measures_title()), Box::new(line))
}

fn map(screen: &Screen<'_>, frame: &mut Frame<'_>, area: Rect, is_plain: bool) {
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    let children = screen.map_children();
    let weights: Vec<u64> = children
        .iter()
        .map(|&child| match screen.order {
            super::Order::Bytes => screen.tree.node(child).bytes,
            super::Order::Files => screen.tree.node(child).files,
            _ => screen.tree.node(child).compressed,
        })
        .collect();
    let folder = screen.tree.node(screen.mapped);
    let title = format!(
        "{}  {} pulled, {} unpacked",
        screen.tree.path(screen.mapped),
        ByteSize(folder.compressed),
        ByteSize(folder.bytes)
    );
    frame.render_widget(Line::from(vec![bold(title)]), head);
    let places = treemap::layout(&weights, body);
    let mut unseen = 0;
    for (number, (&child, &place)) in children.iter().zip(&places).enumerate() {
        if place.is_empty() {
            unseen += 1;
            continue;
        }
        let node = screen.tree.node(child);
        let mut style = Style::new();
        if !is_plain {
            style = style.fg(color(node.kind));
        }
        if number == screen.cursor() {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let slash = if node.kind.is_none() { "/" } else { "" };
        let name = format!("{}{slash}", node.name);
        if place.width < NAMED.0 || place.height < NAMED.1 {
            let text: String = name.chars().take(usize::from(place.width)).collect();
            frame.render_widget(Block::new().style(style.add_modifier(Modifier::DIM)), place);
            let line = Rect { height: 1, ..place };
            frame.render_widget(Line::styled(text, style), line);
            continue;
        }
        let block = Block::bordered().title(name).style(style);
        let inner = block.inner(place);
        frame.render_widget(block, place);
        let text = match node.kind {
            Some(kind) => format!("{} {}", ByteSize(node.compressed), kind.name()),
            None => format!("{} {} files", ByteSize(node.compressed), node.files),
        };
        frame.render_widget(Paragraph::new(text), inner);
    }
    let note = match (children.get(screen.cursor()), unseen) {
        (None, _) => "nothing".to_owned(),
        (Some(&child), 0) => screen.tree.path(child),
        (Some(&child), _) => format!(
            "{}  ({unseen} too small to be seen)",
            screen.tree.path(child)
        ),
    };
    frame.render_widget(Line::from(note), foot);
}

/// A colour beside the name, which says it too.
fn color(kind: Option<FileKind>) -> Color {
    match kind {
        None => Color::Reset,
        Some(FileKind::Program | FileKind::Library) => Color::Red,
        Some(FileKind::Python | FileKind::Bytecode | FileKind::Javascript | FileKind::Java) => {
            Color::Blue
        }
        Some(kind) if kind.is_dispensable() => Color::Yellow,
        Some(_) => Color::Green,
    }
}
