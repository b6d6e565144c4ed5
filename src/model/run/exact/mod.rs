//! Exact execution: at which widths steps run and how prompts are read, so that a session's bits depend on nobody else.

mod attention;
mod noise;
mod plan;
mod probe;

pub use plan::{BLOCK, ExactPlan, ExactReading, LARGEST_PASS, rows_of_pass};
pub use probe::{check_width, choose_plan};
