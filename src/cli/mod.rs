//! The command line: the same runs without a window.

mod arguments;
mod bench;
mod convert;
mod devices;
mod exit;
mod interrupt;
mod load;
#[cfg(feature = "window")]
mod log_file;
mod logging;
mod models;
mod parallel;
mod progress;
mod prompts;
mod verify;
mod words;

#[cfg(not(feature = "window"))]
#[path = "no_window.rs"]
mod window;
#[cfg(feature = "window")]
mod window;

pub use arguments::{
    Arguments, BenchArguments, Command, ExecutionArgument, OutputArguments, ParallelArguments, QuantizeArgument,
    RunSettings, VerifyArguments,
};
#[cfg(feature = "window")]
pub use log_file::open_log;
pub use models::ModelsArguments;
pub use prompts::{PromptsError, read_prompts};

use clap::Parser;
use exit::NOT_STARTED;
use std::io::Write;

/// Reads the command line and does what it says; gives the process's exit code.
pub fn main() -> u8 {
    let arguments = Arguments::parse();
    let opens_window = arguments.command.is_none();
    if opens_window {
        window::start_logging();
    } else {
        logging::start();
    }
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // The error's words are all that is left to say, even where nobody reads them.
            let _ = writeln!(std::io::stderr(), "llmeval: {error:#}");
            if opens_window {
                window::show_problem(&error);
            }
            NOT_STARTED
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = match arguments.command {
        Some(Command::Parallel(arguments)) => runtime.block_on(parallel::run(arguments)),
        Some(Command::Verify(arguments)) => runtime.block_on(verify::run(arguments)),
        Some(Command::Bench(arguments)) => runtime.block_on(bench::run(arguments)),
        Some(Command::Devices) => devices::run(),
        Some(Command::Models(arguments)) => runtime.block_on(models::run(arguments)),
        None => window::run(&runtime, arguments.files),
    };
    // A tokenizer that is being loaded when Ctrl-C comes is not waited for.
    runtime.shutdown_background();
    code
}
