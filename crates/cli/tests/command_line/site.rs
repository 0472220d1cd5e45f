//! Folders of web files: packed into one file, kept as files, refused.

use std::os::unix::fs::symlink;

use crate::harness::Workbench;

fn page(bytes: usize) -> String {
    let mut text = "<!doctype html><title>ounce</title>\n".to_owned();
    let mut number = 1_u32;
    while text.len() < bytes {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("<p class=\"row\">row {}</p>\n", number >> 20));
    }
    text
}

/// A site with a page, a folder, a style, a page for 404 and a picture.
fn site(bench: &Workbench, folder: &str) {
    bench.file(&format!("{folder}/index.html"), page(9_000));
    bench.file(&format!("{folder}/docs/index.html"), page(200));
    bench.file(&format!("{folder}/style.css"), "p { color: teal }\n");
    bench.file(&format!("{folder}/404.html"), "<h1>lost</h1>\n");
    bench.file(&format!("{folder}/copy of a page.html"), page(9_000));
}

fn built(bench: &Workbench, arguments: &[&str]) -> serde_json::Value {
    let arguments = [&["--json", "build"], arguments].concat();
    serde_json::from_str(&bench.succeed(&arguments)).unwrap()
}

#[test]
fn folder_is_packed_into_one_file_and_its_figures_are_told() {
    let bench = Workbench::new();
    site(&bench, "public");
    let json = built(&bench, &["public"]);
    let summary = &json["site"];
    assert_eq!(summary["files"], 5);
    assert_eq!(summary["repeated_files"], 1);
    assert_eq!(summary["redirects"], 1);
    let gzip = &summary["variants"][summary["variants"].as_array().unwrap().len() - 1];
    assert_eq!(gzip["coding"], "gzip");
    assert_eq!(gzip["files"], 2);
    let weighed: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["--json", "weigh", "public"])).unwrap();
    assert_eq!(weighed["images"][0]["files"], 2, "{weighed}");
    let text = bench.succeed(&["build", "public"]);
    assert!(text.starts_with("PACKED SITE "), "{text}");
    assert!(text.contains("gzip beside it"), "{text}");
}

#[test]
fn the_same_files_give_the_same_image_in_another_folder_at_another_time() {
    let bench = Workbench::new();
    site(&bench, "one/public");
    let one = built(&bench, &["one/public"]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    site(&bench, "two/public");
    let two = built(&bench, &["two/public"]);
    assert_eq!(one["digest"], two["digest"]);
}

#[test]
fn plain_keeps_the_files_by_flag_or_by_setting() {
    let bench = Workbench::new();
    site(&bench, "public");
    let by_flag = built(&bench, &["public", "--plain"]);
    assert!(by_flag["site"].is_null(), "{by_flag}");
    bench.file("public/ounce.toml", "[site]\npack = false\nspa = true\n");
    let recipe: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["build", "public", "--dry-run"])).unwrap();
    assert_eq!(recipe["image"]["args"][0], "--spa", "{recipe}");
    assert_eq!(
        recipe["image"]["site"]["files"].as_array().unwrap().len(),
        5
    );
}

#[test]
fn settings_of_a_site_are_checked() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    let mut pictures = String::new();
    for settings in [
        "[site]\nimutable = \"assets/\"\n",
        "[site]\nheaders = { X-Team = \"a\\r\\nSet-Cookie: b\" }\n",
        "[site]\nheaders = { Content-Length = \"1\" }\n",
        "[site]\npack = true\nlisting = true\n",
        "[[file]]\nfrom = \"index.html\"\nto = \"/public/more.html\"\n",
    ] {
        bench.file("public/ounce.toml", settings);
        pictures.push_str(&bench.picture(&["build", "public"]));
    }
    insta::assert_snapshot!(pictures, @r#"
    status: 3
    -- stdout
    -- stderr
    error: public/ounce.toml:2:1: unknown key `site.imutable`: did you mean `site.immutable`?
    hint: what may stand here: pack, spa, listing, cache, immutable, headers, security-headers, compress
    status: 3
    -- stdout
    -- stderr
    error: public/ounce.toml:2:11: `site.headers`: the value of X-Team has a line break, which no header can: visible ASCII and single spaces are wanted
    hint: docs/ounce-toml.md lists every key
    status: 3
    -- stdout
    -- stderr
    error: public/ounce.toml:2:11: `site.headers`: the header Content-Length cannot be set: the server knows it
    hint: docs/ounce-toml.md lists every key
    status: 2
    -- stdout
    -- stderr
    error: a listing cannot be asked of a packed site: with `pack = false` it stays a folder
    status: 2
    -- stdout
    -- stderr
    error: a file beneath /public cannot be asked of a packed site: with `pack = false` it stays a folder
    "#);
}

#[test]
fn what_cannot_be_packed_is_refused_with_what_to_do() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    let odd = bench.path("public/odd");
    let mut pictures = String::new();
    symlink("/etc/passwd", &odd).unwrap();
    pictures.push_str(&bench.picture(&["build", "public"]));
    std::fs::remove_file(&odd).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&odd).status();
    assert!(made.unwrap().success());
    pictures.push_str(&bench.picture(&["build", "public"]));
    std::fs::remove_file(&odd).unwrap();
    bench.file("public/index.html.br", "no brotli");
    pictures.push_str(&bench.picture(&["build", "public"]));
    insta::assert_snapshot!(pictures, @r#"
    status: 3
    -- stdout
    -- stderr
    error: the link public/odd leads out of the folder
    hint: take it away, or let it lead to something in the folder
    status: 3
    -- stdout
    -- stderr
    error: public/odd is a pipe, which nobody can be served
    hint: take it away, or move it out of the folder
    status: 3
    -- stdout
    -- stderr
    error: public/index.html.br is not public/index.html compressed: it unpacks to something else
    hint: compress it anew, or delete it: ounce makes compressed variants itself
    "#);
}

#[test]
fn what_is_left_out_is_told() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<p>");
    bench.file("public/.env", "SECRET=1");
    bench.file("public/.well-known/security.txt", "Contact: x");
    let output = bench.output(&["--json", "build", "public"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "note: .env is left out: its name starts with a dot, and such are not served\n"
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["site"]["files"], 2);
}
