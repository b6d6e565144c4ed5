//! Circles of imports between the files and rooms of one folder.

use super::references::Reference;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A folder below src ("" is src itself), and which of its files and rooms names which, each with an example.
pub type Folders = BTreeMap<String, BTreeMap<(String, String), Reference>>;

/// The arrows inside of each folder. A file further down counts as the room of the folder that it lies in.
pub fn folders(references: &[Reference]) -> Folders {
    let mut folders = Folders::new();
    for reference in references.iter().filter(|reference| !reference.in_test && !reference.is_shown) {
        for to in &reference.to {
            let (folder, from_room, to_room) = part(&reference.file, to);
            if from_room != to_room {
                folders.entry(folder).or_default().entry((from_room, to_room)).or_insert_with(|| reference.clone());
            }
        }
    }
    folders
}

/// The folder that two files share, and the name of each in it.
fn part(from: &str, to: &str) -> (String, String, String) {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let shared = shared.min(from.len() - 1).min(to.len() - 1);
    let name = |path: &[&str]| path[shared].trim_end_matches(".rs").to_owned();
    (from[..shared].join("/"), name(&from), name(&to))
}

/// One circle for each group of rooms that reach each other, in words: the way round, and a naming for each step.
pub fn circles(arrows: &BTreeMap<(String, String), Reference>) -> Vec<String> {
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for start in arrows.keys().map(|(from, _)| from) {
        if told.contains(start) {
            continue;
        }
        let Some(way) = way_back(arrows, start) else { continue };
        let steps: Vec<String> = way
            .windows(2)
            .map(|step| format!("    {}", arrows[&(step[0].clone(), step[1].clone())].describe()))
            .collect();
        found.push(format!("{}\n{}", way.join(" → "), steps.join("\n")));
        told.extend(way);
    }
    found
}

/// The shortest way from `start` back to itself.
fn way_back(arrows: &BTreeMap<(String, String), Reference>, start: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let last = way.last().expect("a way has a beginning");
        for (_, next) in arrows.keys().filter(|(from, _)| from == last) {
            if next == start || seen.insert(next.clone()) {
                let longer = [&way[..], std::slice::from_ref(next)].concat();
                if next == start {
                    return Some(longer);
                }
                ways.push_back(longer);
            }
        }
    }
    None
}
