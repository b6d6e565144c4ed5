//! Proof that sessions are isolated: each runs alone as well as among others, and is compared.

mod replay;
mod report;
mod rounds;
mod schedule;
mod trace;

pub use replay::{replay, replayable};
pub use report::{Comparison, Verdict, VerifyError, VerifyReport};
pub use rounds::verify;
pub use schedule::{Part, schedule};
