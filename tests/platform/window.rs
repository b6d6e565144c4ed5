//! What differs between systems around the window: one window at a time, the menu's table, the log.

use llmeval::cli::open_log;
use llmeval::platform::{Entry, InstanceError, MENUS, SingleInstance, Start};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn first(folder: &std::path::Path) -> SingleInstance {
    match SingleInstance::claim(folder, &[]).unwrap() {
        Start::First(instance) => instance,
        Start::HandedOver => panic!("nobody else runs in this folder"),
    }
}

#[test]
fn a_second_start_hands_its_files_to_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, starts) = mpsc::channel();
    first(folder.path()).listen(move |files| sender.send(files).unwrap()).unwrap();

    let files = [PathBuf::from("/models/a b.gguf"), PathBuf::from("/runs/ü.json")];
    assert!(matches!(SingleInstance::claim(folder.path(), &files).unwrap(), Start::HandedOver));
    assert_eq!(starts.recv_timeout(PATIENCE).unwrap(), files);

    assert!(matches!(SingleInstance::claim(folder.path(), &[]).unwrap(), Start::HandedOver));
    assert!(starts.recv_timeout(PATIENCE).unwrap().is_empty(), "a start without files only asks for the window");
}

#[test]
fn a_relative_file_reaches_the_first_as_the_second_meant_it() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, starts) = mpsc::channel();
    first(folder.path()).listen(move |files| sender.send(files).unwrap()).unwrap();
    SingleInstance::claim(folder.path(), &[PathBuf::from("run.json")]).unwrap();
    assert_eq!(starts.recv_timeout(PATIENCE).unwrap(), [std::env::current_dir().unwrap().join("run.json")]);
}

#[test]
fn a_socket_left_by_a_crash_stops_no_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(first(folder.path()));
    assert!(folder.path().join("llmeval.sock").exists(), "the socket stays, as after a crash");
    first(folder.path());
}

#[test]
fn a_first_one_that_hangs_is_named_as_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let lock = File::create(folder.path().join("llmeval.lock")).unwrap();
    lock.lock().unwrap();
    let error = SingleInstance::claim(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, InstanceError::NoAnswer(_)));
    assert!(error.to_string().contains("already running"), "{error}");
}

#[test]
fn a_log_goes_on_where_it_ended_until_it_is_large() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("made/for/it");
    open_log(&logs).unwrap().write_all(b"first\n").unwrap();
    open_log(&logs).unwrap().write_all(b"second\n").unwrap();
    assert_eq!(fs::read(logs.join("llmeval.log")).unwrap(), b"first\nsecond\n");

    open_log(&logs).unwrap().write_all(&vec![b'x'; 5 << 20]).unwrap();
    open_log(&logs).unwrap().write_all(b"anew\n").unwrap();
    assert_eq!(fs::read(logs.join("llmeval.log")).unwrap(), b"anew\n");
    assert!(fs::read(logs.join("llmeval.old.log")).unwrap().starts_with(b"first\n"));
}

#[test]
fn every_menu_command_stands_once_and_no_shortcut_twice() {
    let mut commands = HashSet::new();
    let mut shortcuts = HashSet::new();
    for entry in MENUS.iter().flat_map(|(_, entries)| *entries) {
        if let Entry::Command(command, title, shortcut) = entry {
            assert!(commands.insert(command), "{title} stands twice");
            assert!(shortcut.is_none_or(|shortcut| shortcuts.insert(shortcut)), "{title}'s shortcut stands twice");
        }
    }
}
