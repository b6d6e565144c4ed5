//! KV caches: what each layer keeps of the tokens that came before, for one session or for many at once.
//!
//! There are two kinds. A [`KvCache`] is one session's own: prompts are read into it, and where kernels attend sessions in
//! their own caches it stays there. Elsewhere sessions that step together move into a cache that they share ([`Groups`]), so that
//! one operation writes the tokens of all. A [`Pass`] over either brings the tokens of a step, or of a prompt, to the kernels.

mod groups;
mod pass;
mod prefix;
mod session;
mod shared;
#[cfg(test)]
mod tests;

pub use groups::{Groups, Seat};
pub use pass::Pass;
pub use prefix::PrefixStore;
pub use session::{AHEAD, KvCache};
