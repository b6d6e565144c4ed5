//! The native menu bar, made from the plain table in `platform::menu`.

use crate::platform::{Entry, MENUS, MenuCommand, Shortcut, Standard};
use muda::accelerator::{Key, KeyAccelerator, Modifiers, NamedKey};
use muda::{AboutMetadata, IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem, Submenu};
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver};

/// The menu bar. Keep it as long as the window is open.
pub struct MenuBar {
    // muda takes the items down with it.
    _menu: Menu,
    commands: Receiver<MenuCommand>,
}

/// Why there is no menu bar.
#[derive(Debug, thiserror::Error)]
#[error("the menu bar could not be made: {0}")]
pub struct MenuError(#[from] muda::Error);

impl MenuBar {
    /// Puts up the menu bar; on the main thread, once the window's event loop runs (winit puts up one of its own
    /// before). `wake` is called after a person chose something, so that the window asks for it.
    pub fn install(wake: impl Fn() + Send + Sync + 'static) -> Result<Self, MenuError> {
        let menu = Menu::new();
        let mut by_id = HashMap::new();
        for (title, entries) in MENUS {
            let submenu = Submenu::new(title, true);
            for entry in entries {
                submenu.append(native(entry, &mut by_id).as_ref())?;
            }
            menu.append(&submenu)?;
            if title == "Window" {
                submenu.set_as_windows_menu_for_nsapp();
            }
            if title == "Help" {
                submenu.set_as_help_menu_for_nsapp();
            }
        }
        menu.init_for_nsapp();
        let (sender, commands) = mpsc::channel();
        MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
            if let Some(command) = by_id.get(event.id()) {
                // A closed window no longer listens.
                let _ = sender.send(*command);
                wake();
            }
        }));
        Ok(Self { _menu: menu, commands })
    }

    /// The commands chosen since the last call, in order.
    pub fn take_commands(&self) -> Vec<MenuCommand> {
        self.commands.try_iter().collect()
    }
}

fn native(entry: &Entry, by_id: &mut HashMap<muda::MenuId, MenuCommand>) -> Box<dyn IsMenuItem> {
    match *entry {
        Entry::Command(command, title, shortcut) => {
            let item = MenuItem::new(title, true, None);
            // Only an unknown key is refused, and the table has none.
            if let Err(error) = item.set_key_accelerator(shortcut.map(keys)) {
                tracing::warn!(%error, title, "a menu item has no shortcut");
            }
            by_id.insert(item.id().clone(), command);
            Box::new(item)
        }
        Entry::Standard(standard) => Box::new(match standard {
            Standard::About => PredefinedMenuItem::about(None, Some(about())),
            Standard::Services => PredefinedMenuItem::services(None),
            Standard::Hide => PredefinedMenuItem::hide(Some("Hide LLMEval")),
            Standard::HideOthers => PredefinedMenuItem::hide_others(None),
            Standard::ShowAll => PredefinedMenuItem::show_all(None),
            Standard::FullScreen => PredefinedMenuItem::fullscreen(None),
            Standard::Minimize => PredefinedMenuItem::minimize(None),
            Standard::Zoom => PredefinedMenuItem::maximize(Some("Zoom")),
            Standard::BringAllToFront => PredefinedMenuItem::bring_all_to_front(None),
        }),
        Entry::Separator => Box::new(PredefinedMenuItem::separator()),
    }
}

fn keys(shortcut: Shortcut) -> KeyAccelerator {
    let shift = if shortcut.shift { Modifiers::SHIFT } else { Modifiers::empty() };
    let key = match shortcut.key {
        "Enter" => Key::Named(NamedKey::Enter),
        character => Key::Character(character.to_owned()),
    };
    KeyAccelerator::new(Modifiers::META | shift, key)
}

fn about() -> AboutMetadata {
    AboutMetadata {
        name: Some("LLMEval".into()),
        version: Some(env!("CARGO_PKG_VERSION").into()),
        credits: Some(env!("CARGO_PKG_DESCRIPTION").into()),
        ..AboutMetadata::default()
    }
}
