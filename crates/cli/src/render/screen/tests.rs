//! The screen by the keys that are pressed and the cells that are drawn.

use ounce_oci::layer::{Content, Entry, EntryKind};
use ounce_oci::{Image, Store};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::tree::tests::inventory;
use super::*;

/// A measured image, and files of our own in it.
fn images() -> Vec<(String, Weight, Inventory)> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let entry = Entry {
        path: "app".to_owned(),
        kind: EntryKind::File(Content::Bytes(vec![7; 1000])),
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let platform = "linux/amd64".parse().unwrap();
    let image = Image::passing(&store, &[entry], &platform, None).unwrap();
    let (weight, _) = ounce_weigh::measure_all(&image).unwrap();
    let files = [
        ("/etc/hosts", 200, 0),
        ("/usr/bin/tool", 60_000, 0),
        ("/usr/lib/libbig.so", 400_000, 1),
        ("/usr/lib/libsmall.so", 20_000, 1),
    ];
    let other = [("/only", 10, 0)];
    vec![
        ("first".to_owned(), weight.clone(), inventory(&files)),
        ("second".to_owned(), weight, inventory(&other)),
    ]
}

fn drawn(screen: &mut Screen<'_>, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| draw::draw(screen, frame, true);
    terminal.draw(draw).unwrap();
    terminal.backend().to_string()
}

fn press(screen: &mut Screen<'_>, keys: &[KeyCode]) {
    for &key in keys {
        screen.press(key, KeyModifiers::NONE);
    }
}

fn selected(screen: &Screen<'_>) -> String {
    screen.tree.path(screen.rows[screen.cursor()].node)
}

#[test]
fn folders_open_and_close_heaviest_first() {
    let images = images();
    let mut screen = Screen::new(&images);
    assert_eq!(selected(&screen), "/usr");
    press(
        &mut screen,
        &[KeyCode::Right, KeyCode::Down, KeyCode::Enter],
    );
    insta::assert_snapshot!(drawn(&mut screen, 90, 11), @r#"
    "first (1 of 2)  647 B pulled, 1.00 KB unpacked, 1 files, 0 B hidden by upper layers       "
    " 1 files  2 map  3 layers  4 packages  5 kinds   by pulled bytes                          "
    "    PULLED  UNPACKED     FILES           PATH                                             "
    "    240 KB    480 KB         3  ███████· ▾ usr/                                           "
    "    210 KB    420 KB         2  ██████··   ▾ lib/                                         "
    "    200 KB    400 KB         1  ██████··       libbig.so  (text, layer 1)                 "
    "   10.0 KB   20.0 KB         1  ········       libsmall.so  (text, layer 1)               "
    "   30.0 KB   60.0 KB         1  ········   ▸ bin/                                         "
    "     100 B     200 B         1  ········ ▸ etc/                                           "
    "                                                                                          "
    "↑↓ move  ←→ close, open  Tab view  / search  s sort  n next image  q quit                 "
    "#);
    press(&mut screen, &[KeyCode::Down, KeyCode::Left]);
    assert_eq!(selected(&screen), "/usr/lib", "a file's folder is closed");
    assert_eq!(screen.rows.len(), 4);
    press(&mut screen, &[KeyCode::Left, KeyCode::Left]);
    assert_eq!(
        (selected(&screen), screen.rows.len()),
        ("/usr".to_owned(), 2)
    );
}

#[test]
fn search_shows_paths_and_leads_to_the_file() {
    let images = images();
    let mut screen = Screen::new(&images);
    press(&mut screen, &[KeyCode::Char('/')]);
    press(
        &mut screen,
        &"SMALL".chars().map(KeyCode::Char).collect::<Vec<_>>(),
    );
    assert!(drawn(&mut screen, 90, 8).contains("/usr/lib/libsmall.so"));
    press(&mut screen, &[KeyCode::Enter, KeyCode::Enter]);
    assert!(!screen.is_searching());
    assert_eq!(selected(&screen), "/usr/lib/libsmall.so");
    press(&mut screen, &[KeyCode::Char('/'), KeyCode::Char('q')]);
    assert!(!screen.is_done, "q is a letter while one types");
    assert!(drawn(&mut screen, 90, 8).contains("nothing"));
    press(&mut screen, &[KeyCode::Esc, KeyCode::Char('q')]);
    assert!(screen.is_done);
}

#[test]
fn layer_shows_its_own_files_only_until_escape() {
    let images = images();
    let mut screen = Screen::new(&images);
    // The weight has one layer; the files' second stands in for a larger image's.
    press(&mut screen, &[KeyCode::Char('3'), KeyCode::Enter]);
    assert_eq!(screen.view, View::Files);
    assert_eq!(screen.tree.node(0).files, 2);
    press(&mut screen, &[KeyCode::Esc]);
    assert_eq!((screen.tree.node(0).files, screen.is_done), (4, false));
}

#[test]
fn map_goes_into_folders_and_out_again() {
    let images = images();
    let mut screen = Screen::new(&images);
    press(&mut screen, &[KeyCode::Char('2'), KeyCode::Enter]);
    insta::assert_snapshot!(drawn(&mut screen, 60, 14), @r#"
    "first (1 of 2)  647 B pulled, 1.00 KB unpacked, 1 files, 0 B"
    " 1 files  2 map  3 layers  4 packages  5 kinds   by pulled b"
    "/usr  240 KB pulled, 480 KB unpacked                        "
    "┌lib/───────────────────────────────────────────────┐bin/   "
    "│210 KB 2 files                                     │       "
    "│                                                   │       "
    "│                                                   │       "
    "│                                                   │       "
    "│                                                   │       "
    "│                                                   │       "
    "│                                                   │       "
    "└───────────────────────────────────────────────────┘       "
    "/usr/lib                                                    "
    "↑↓ move  ←→ close, open  Tab view  / search  s sort  n next "
    "#);
    press(&mut screen, &[KeyCode::Left]);
    assert_eq!((screen.mapped, screen.cursor()), (0, 0));
}

#[test]
fn order_goes_round_and_keeps_the_place() {
    let images = images();
    let mut screen = Screen::new(&images);
    press(&mut screen, &[KeyCode::Down]);
    let place = selected(&screen);
    for _ in 0..4 {
        press(&mut screen, &[KeyCode::Char('s')]);
        assert_eq!(selected(&screen), place);
    }
    assert_eq!(screen.order, Order::Compressed);
}

#[test]
fn any_keys_in_any_size_of_terminal_do_no_harm() {
    let images = images();
    let mut screen = Screen::new(&images);
    let keys = [
        KeyCode::Tab,
        KeyCode::Down,
        KeyCode::Enter,
        KeyCode::End,
        KeyCode::Char('n'),
        KeyCode::Left,
        KeyCode::PageDown,
        KeyCode::Up,
        KeyCode::Right,
        KeyCode::BackTab,
        KeyCode::Home,
        KeyCode::Char('s'),
        KeyCode::Backspace,
    ];
    for (number, key) in keys.iter().cycle().take(500).enumerate() {
        press(&mut screen, &[*key]);
        let width = [1, 7, 40, 200][number % 4];
        let height = [1, 2, 5, 50][number % 3];
        drawn(&mut screen, width, height);
    }
}
