//! Running a model: sessions' rows, their prompts' passes, their decode steps, and the plan that makes these exact.

mod exact;
mod launch;
mod prefill;
mod row;
mod runner;
mod sampler;
mod step;

pub use exact::{check_width, choose_plan};
pub use row::Row;
pub use runner::Runner;
pub use step::MlxStep;
