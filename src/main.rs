//! The program: everything it does is in the library.

use std::io::Write;

fn main() {
    let code = llmeval::cli::main();
    // What can't be written now has no reader.
    let _ = std::io::stdout().flush();
    // MLX's CUDA part takes itself down in exit handlers, by then without a driver, and aborts.
    signal_hook::low_level::exit(code.into());
}
