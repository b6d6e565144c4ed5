//! The program: everything it does is in the library.

use std::io::Write;

/// MLX's CUDA part keeps this many graphs, one for each shape of a step, unless the variable says otherwise. Its own
/// default is used up by sessions that grow side by side, and then it fails.
const CUDA_GRAPHS: (&str, &str) = ("MLX_CUDA_GRAPH_CACHE_SIZE", "20000");

fn main() {
    let (variable, graphs) = CUDA_GRAPHS;
    if std::env::var_os(variable).is_none() {
        // SAFETY: no other thread has been started that could read the environment.
        unsafe { std::env::set_var(variable, graphs) };
    }
    let code = llmeval::cli::main();
    // What can't be written now has no reader.
    let _ = std::io::stdout().flush();
    // MLX's CUDA part takes itself down in exit handlers, by then without a driver, and aborts.
    signal_hook::low_level::exit(code.into());
}
