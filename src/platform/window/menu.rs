//! The menu bar as plain data: which menus, which items, which commands and shortcuts.

/// What a person chose in the menu bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MenuCommand {
    /// Show the settings.
    Settings,
    /// Close the window and end the program.
    Quit,
    /// Choose a model.
    ChooseModel,
    /// Open the file of a run.
    OpenRun,
    /// Save the run that is shown.
    ExportRun,
    /// Close the window.
    CloseWindow,
    /// Undo the last change of a text.
    Undo,
    /// Do again what was undone.
    Redo,
    /// Move the selected text to the clipboard.
    Cut,
    /// Copy the selected text to the clipboard.
    Copy,
    /// Insert the clipboard's text.
    Paste,
    /// Select the whole text.
    SelectAll,
    /// Answer the single prompt.
    Generate,
    /// Start the parallel run.
    RunParallel,
    /// Stop what runs.
    Stop,
    /// Enlarge everything.
    ZoomIn,
    /// Make everything smaller.
    ZoomOut,
    /// Back to the size at first start.
    ActualSize,
    /// Show the list of shortcuts.
    Shortcuts,
    /// Show the log files in the file manager.
    ShowLogs,
}

impl MenuCommand {
    /// The keys that give this command too.
    pub fn shortcut(self) -> Option<Shortcut> {
        let entries = MENUS.iter().flat_map(|(_, entries)| *entries);
        entries.copied().find_map(|entry| match entry {
            Entry::Command(command, _, shortcut) if command == self => shortcut,
            _ => None,
        })
    }
}

/// Keys that give a command, together with Cmd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shortcut {
    /// The key as it is written on it; "Enter" for Return.
    pub key: &'static str,
    /// Whether Shift is held too.
    pub shift: bool,
}

/// Items that the system handles itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standard {
    /// Name, version and icon.
    About,
    /// Other programs' services.
    Services,
    /// Hide this program.
    Hide,
    /// Hide all others.
    HideOthers,
    /// Show all again.
    ShowAll,
    /// Full screen on and off.
    FullScreen,
    /// Put the window into the Dock.
    Minimize,
    /// Let the window fill the screen.
    Zoom,
    /// All windows before other programs'.
    BringAllToFront,
}

/// One line of a menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A command of ours.
    Command(MenuCommand, &'static str, Option<Shortcut>),
    /// An item that the system handles.
    Standard(Standard),
    /// A line between groups.
    Separator,
}

const fn cmd(key: &'static str) -> Option<Shortcut> {
    Some(Shortcut { key, shift: false })
}

const fn cmd_shift(key: &'static str) -> Option<Shortcut> {
    Some(Shortcut { key, shift: true })
}

/// The menus from left to right, each with its title; macOS shows the first one under the program's name.
///
/// Cut, copy and paste are commands of ours because the window draws its texts itself: the system's own items
/// would look for a native text field.
pub const MENUS: [(&str, &[Entry]); 7] = [
    (
        "LLMEval",
        &[
            Entry::Standard(Standard::About),
            Entry::Separator,
            Entry::Command(MenuCommand::Settings, "Settings…", cmd(",")),
            Entry::Separator,
            Entry::Standard(Standard::Services),
            Entry::Separator,
            Entry::Standard(Standard::Hide),
            Entry::Standard(Standard::HideOthers),
            Entry::Standard(Standard::ShowAll),
            Entry::Separator,
            Entry::Command(MenuCommand::Quit, "Quit LLMEval", cmd("q")),
        ],
    ),
    (
        "File",
        &[
            Entry::Command(MenuCommand::ChooseModel, "Choose Model…", cmd("l")),
            Entry::Command(MenuCommand::OpenRun, "Open Run…", cmd("o")),
            Entry::Command(MenuCommand::ExportRun, "Export Run…", cmd("s")),
            Entry::Separator,
            Entry::Command(MenuCommand::CloseWindow, "Close Window", cmd("w")),
        ],
    ),
    (
        "Edit",
        &[
            Entry::Command(MenuCommand::Undo, "Undo", cmd("z")),
            Entry::Command(MenuCommand::Redo, "Redo", cmd_shift("z")),
            Entry::Separator,
            Entry::Command(MenuCommand::Cut, "Cut", cmd("x")),
            Entry::Command(MenuCommand::Copy, "Copy", cmd("c")),
            Entry::Command(MenuCommand::Paste, "Paste", cmd("v")),
            Entry::Command(MenuCommand::SelectAll, "Select All", cmd("a")),
        ],
    ),
    (
        "Run",
        &[
            Entry::Command(MenuCommand::Generate, "Generate", cmd("Enter")),
            Entry::Command(MenuCommand::RunParallel, "Run Parallel Demo", cmd("r")),
            Entry::Separator,
            Entry::Command(MenuCommand::Stop, "Stop", cmd(".")),
        ],
    ),
    (
        "View",
        &[
            Entry::Command(MenuCommand::ZoomIn, "Zoom In", cmd("+")),
            Entry::Command(MenuCommand::ZoomOut, "Zoom Out", cmd("-")),
            Entry::Command(MenuCommand::ActualSize, "Actual Size", cmd("0")),
            Entry::Separator,
            Entry::Standard(Standard::FullScreen),
        ],
    ),
    (
        "Window",
        &[
            Entry::Standard(Standard::Minimize),
            Entry::Standard(Standard::Zoom),
            Entry::Separator,
            Entry::Standard(Standard::BringAllToFront),
        ],
    ),
    (
        "Help",
        &[
            Entry::Command(MenuCommand::Shortcuts, "Keyboard Shortcuts", cmd("/")),
            Entry::Command(MenuCommand::ShowLogs, "Show Logs", None),
        ],
    ),
];
