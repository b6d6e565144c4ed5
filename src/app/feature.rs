//! What a feature of the window is.

use super::shell::Shell;

/// A feature of the window: what it keeps between frames, and what it does in each. Its own actions are methods that
/// `apply.rs` calls. It holds no other feature: it asks through [`Shell::ask`], and reads what is shown.
pub trait Feature {
    /// Once, before the first frame.
    fn begin(&mut self, _shell: &mut Shell) {}

    /// Takes in what happened since the last frame.
    fn take_in(&mut self, _shell: &mut Shell) {}

    /// Stops what the model does for it; the end may be still to come.
    fn stop(&mut self, _shell: &mut Shell) {}

    /// The window closes. What the feature still holds is dropped after that, and then the engine's thread ends.
    fn close(&mut self, _shell: &mut Shell) {}
}
