//! Who may import whom: the arrows that ARCHITECTURE.md draws, and no circle inside of any folder.

/// Circles of imports inside of a folder.
mod circles;
/// The crate's modules, and which file defines what a path names.
mod modules;
/// Each of these tests finds what it looks for: planted cases.
mod planted;
/// Every place where a file names something.
mod references;
/// Where code asks what it is compiled for.
mod targets;

use modules::{Sources, Tree};
use references::{Reference, references};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Parts, and what each may name.
type Arrows = &'static [(&'static str, &'static [&'static str])];

/// A folder or file of src, and what of this crate it may name. What is not in the table may name everything.
const MAY_IMPORT: Arrows = &[
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

/// A folder below src and its rooms' arrows: each room may name those that it points to and what those may name. A room
/// without a line may name no other.
const ROOMS: &[(&str, Arrows)] = &[(
    "model",
    &[
        ("mod", &["backend", "convert"]),
        ("backend", &["load"]),
        ("convert", &["load"]),
        ("load", &["arch", "run"]),
        ("arch", &["layers", "files"]),
        ("run", &["layers"]),
        ("layers", &["kv"]),
        ("kv", &["kernels"]),
        ("kernels", &["ops", "quantization"]),
        ("files", &["ops", "device", "quantization"]),
        ("quantization", &["error"]),
        ("ops", &[]),
        ("device", &[]),
        ("error", &[]),
    ],
)];

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

/// Where code may ask what it is compiled for: folders, which end in `/`, and files.
const MAY_ASK_FOR_THE_TARGET: &[&str] = &["platform/", "model/kernels/mod.rs"];

/// Kernels of one device; only the folder above them may know which there are.
const DEVICES: &[&str] = &["cpu", "cuda", "metal"];
const KERNELS: &str = "model/kernels/";

/// What there is to know of a crate's sources.
struct Code {
    files: BTreeSet<String>,
    references: Vec<Reference>,
    /// Each question for the target: the file, and what it asks.
    asked: Vec<(String, String)>,
}

/// This crate, read once for all tests.
static SRC: LazyLock<Code> = LazyLock::new(|| Code::read(&sources()));

impl Code {
    fn read(sources: &Sources) -> Self {
        let tree = Tree::read(sources);
        Self {
            files: tree.files.keys().cloned().collect(),
            references: references(&tree),
            asked: targets::asked(&tree),
        }
    }
}

/// Reads src.
fn sources() -> Sources {
    let mut sources = Sources::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let names: Vec<&str> = path.iter().skip(1).map(|name| name.to_str().unwrap()).collect();
                sources.insert(names.join("/"), fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(sources.len() > 20, "the sources are not where this test looks");
    sources
}

/// The folder, or file, directly below src that a file belongs to.
fn part(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Every arrow between parts that [`MAY_IMPORT`] doesn't have.
fn forbidden_arrows(references: &[Reference]) -> Vec<String> {
    let mut found = Vec::new();
    for reference in references {
        let from = part(&reference.file);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(part, _)| *part == from) else { continue };
        let named = reference.named.iter().filter_map(|names| names.first()).map(String::as_str);
        // A name that the crate's root shows belongs to the part that defines it.
        let to: BTreeSet<&str> = reference.to.iter().map(|file| part(file)).chain(named).collect();
        for to in to {
            if to != from && !allowed.contains(&to) {
                found.push(format!("{}: {from} must not import {to}", reference.describe()));
            }
        }
    }
    found
}

/// Every arrow inside of a folder that its rooms' table doesn't have.
fn forbidden_rooms(references: &[Reference], tables: &[(&str, Arrows)]) -> Vec<String> {
    let folders = circles::folders(references);
    let mut found = Vec::new();
    for (folder, rooms) in tables {
        for ((from, to), reference) in folders.get(*folder).into_iter().flatten() {
            let mut reached: BTreeSet<&str> = BTreeSet::from([from.as_str()]);
            while let Some(next) = rooms
                .iter()
                .filter(|(room, _)| reached.contains(room))
                .flat_map(|(_, to)| *to)
                .find(|next| !reached.contains(*next))
            {
                reached.insert(next);
            }
            if !reached.contains(to.as_str()) {
                found.push(format!("{}: in src/{folder}, {from} must not import {to}", reference.describe()));
            }
        }
    }
    found
}

/// Every outer crate that is named where it doesn't belong.
fn foreign_crates(references: &[Reference]) -> Vec<String> {
    let mut found = Vec::new();
    for reference in references {
        let part = part(&reference.file);
        let Some(outer) = &reference.outer else { continue };
        if let Some((name, parts)) = ONLY_IN.iter().find(|(name, _)| name == outer)
            && !parts.contains(&part)
        {
            found.push(format!("{}: only {parts:?} may use {name}", reference.describe()));
        }
        if outer == "tokio" && WITHOUT_TOKIO.contains(&part) {
            found.push(format!("{}: {part} must not use tokio", reference.describe()));
        }
    }
    found
}

/// Every place outside of the kernels' folder that names one device's kernels, or holds them.
fn named_devices(code: &Code) -> Vec<String> {
    let is_device = |name: &str| DEVICES.contains(&name);
    let named = code
        .references
        .iter()
        .filter(|reference| !reference.file.starts_with(KERNELS) && reference.outer.is_none())
        .filter(|reference| reference.path.len() > 1 && reference.path.iter().any(|name| is_device(name)))
        .map(Reference::describe);
    let held = code.files.iter().filter(|file| file.starts_with("model/") && !file.starts_with(KERNELS));
    let held = held.filter(|file| file.split(['/', '.']).any(is_device)).map(|file| format!("src/{file}"));
    named.chain(held).map(|place| format!("{place}: a device's kernels are known in src/{KERNELS} alone")).collect()
}

/// Every file that asks what it is compiled for and is no place for that.
fn misplaced_targets(code: &Code) -> Vec<String> {
    let may_ask = |file: &str| {
        MAY_ASK_FOR_THE_TARGET.iter().any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
    };
    let asked = code.asked.iter().filter(|(file, _)| !may_ask(file));
    asked
        .map(|(file, asked)| format!("src/{file} asks whether it is compiled for `{asked}`: belongs into src/platform"))
        .collect()
}

/// Every circle inside of a folder.
fn all_circles(references: &[Reference]) -> Vec<(String, String)> {
    let folders = circles::folders(references);
    folders
        .iter()
        .flat_map(|(folder, arrows)| circles::circles(arrows).into_iter().map(|circle| (folder.clone(), circle)))
        .collect()
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_part_imports_only_what_its_arrows_allow() {
    assert_none(&forbidden_arrows(&SRC.references));
}

#[test]
fn every_room_imports_only_what_its_folders_arrows_allow() {
    assert_none(&forbidden_rooms(&SRC.references, ROOMS));
}

#[test]
fn no_folder_has_a_circle_of_imports() {
    let found = all_circles(&SRC.references);
    assert_none(&found.into_iter().map(|(folder, circle)| format!("src/{folder}: {circle}")).collect::<Vec<_>>());
}

#[test]
fn outer_crates_stay_in_the_parts_that_they_belong_to() {
    assert_none(&foreign_crates(&SRC.references));
}

#[test]
fn what_differs_between_devices_is_in_the_kernels_folder() {
    assert_none(&named_devices(&SRC));
}

#[test]
fn what_differs_between_systems_is_in_two_places() {
    assert_none(&misplaced_targets(&SRC));
}

#[test]
fn every_file_is_read_and_says_first_what_it_is_for() {
    for (file, text) in &sources() {
        assert!(text.starts_with("//! "), "src/{file} begins without its purpose");
        assert!(SRC.files.contains(file), "src/{file}: no `mod` line leads to it");
    }
}
