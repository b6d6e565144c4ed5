//! Who may import whom: the arrows that ARCHITECTURE.md draws.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder or file of src, and what of this crate it may name. What is not in the table may name everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("platform", &["protocol"]),
    ("text", &["protocol"]),
    ("hub", &["protocol", "platform"]),
    ("engine", &["protocol"]),
    ("state", &["protocol"]),
    ("model", &["protocol", "engine", "hub"]),
    ("session", &["protocol", "engine", "text", "hub"]),
    ("ui", &["protocol", "state"]),
];

/// A crate, and the only places that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("mlx_rs", &["model"]),
    ("mlx_sys", &["model"]),
    ("egui", &["ui", "app"]),
    ("eframe", &["app", "platform"]),
    ("egui_plot", &["ui", "app"]),
    ("egui_extras", &["ui", "app"]),
    ("egui_commonmark", &["ui", "app"]),
    ("pulldown_cmark", &["ui"]),
    ("rfd", &["app", "platform"]),
    ("png", &["app"]),
    ("muda", &["app", "platform"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("hf_hub", &["hub"]),
    ("minijinja", &["text"]),
    ("tokenizers", &["text"]),
    ("anyhow", &["cli", "app", "main"]),
];

/// Places that may not name tokio.
const WITHOUT_TOKIO: &[&str] = &["protocol", "text", "model", "state", "ui"];

/// A source file and the folder, or file, directly below src that it belongs to.
struct Source {
    path: PathBuf,
    part: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(read(&path));
            }
        }
    }
    assert!(sources.len() > 20, "the sources are not where this test looks");
    sources
}

fn read(path: &Path) -> Source {
    let inside = path.strip_prefix("src").unwrap();
    let part = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
    let text = fs::read_to_string(path).unwrap();
    // Comments may speak of anything.
    let code = text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
    Source { path: path.to_owned(), part, code }
}

/// The parts of this crate that `code` names, in any of the ways in which Rust can: `crate::a`, `crate::{a, b::c}`.
fn imports(code: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for after in code.split("crate::").skip(1) {
        let names: Vec<&str> = match after.strip_prefix('{') {
            Some(group) => top_level_items(group),
            None => vec![after],
        };
        parts.extend(names.into_iter().map(first_name));
    }
    parts
}

/// The items of a use group up to its closing brace, nested groups left out.
fn top_level_items(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut items = Vec::new();
    let mut start = 0;
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..index]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    items
}

fn first_name(item: &str) -> String {
    item.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

fn names_crate(code: &str, name: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(index, _)| {
        let before = code[..index].chars().next_back();
        let after = &code[index + name.len()..];
        !before.is_some_and(|character| is_word(character) || character == ':' || character == '.')
            && after.starts_with("::")
    })
}

#[test]
fn every_part_imports_only_what_its_arrows_allow() {
    for source in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(part, _)| *part == source.part) else { continue };
        for import in imports(&source.code) {
            assert!(
                import == source.part || allowed.contains(&import.as_str()),
                "{}: {} must not import {import}",
                source.path.display(),
                source.part
            );
        }
    }
}

#[test]
fn outer_crates_stay_in_the_parts_that_they_belong_to() {
    for source in sources() {
        for (name, parts) in ONLY_IN {
            assert!(
                parts.contains(&source.part.as_str()) || !names_crate(&source.code, name),
                "{}: only {parts:?} may use {name}",
                source.path.display()
            );
        }
        assert!(
            !WITHOUT_TOKIO.contains(&source.part.as_str()) || !names_crate(&source.code, "tokio"),
            "{}: {} must not use tokio",
            source.path.display(),
            source.part
        );
    }
}

#[test]
fn what_differs_between_systems_is_in_one_folder() {
    for source in sources() {
        let differs = source.code.contains("cfg(target_os");
        assert!(!differs || source.part == "platform", "{}: belongs into src/platform", source.path.display());
    }
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for source in sources() {
        let text = fs::read_to_string(&source.path).unwrap();
        assert!(text.starts_with("//! "), "{} begins without its purpose", source.path.display());
    }
}

#[test]
fn the_test_sees_every_way_to_import() {
    let code = "use crate::hub;\nuse crate::{engine::{Backend, X}, text, session::Y};\nlet a = crate::model::load();";
    assert_eq!(imports(code), ["hub", "engine", "text", "session", "model"]);
    assert!(names_crate("use mlx_rs::Array;", "mlx_rs"));
    assert!(!names_crate("use my_mlx_rs::Array;", "mlx_rs"));
    assert!(!names_crate("self.egui::x", "egui"));
}
