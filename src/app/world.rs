//! What the window needs of the world; tests give it a scripted one.

use super::dialogs::Dialogs;
use super::inbox::Inbox;
use super::loads::Loader;
use super::storage::Storage;
use crate::platform::SingleInstance;

/// What the window needs of the world.
pub struct World {
    /// Loads a model.
    pub loader: Loader,
    /// Opens file dialogs.
    pub dialogs: Dialogs,
    /// Where settings and runs lie.
    pub storage: Storage,
    /// Files to open, at launch and later.
    pub inbox: Inbox,
    /// The right to be the only window; none where it could not be claimed.
    pub instance: Option<SingleInstance>,
}
