//! The program: everything it does is in the library.

use std::io::Write;

/// How MLX's CUDA part works unless the variables say otherwise: it launches a step's kernels one by one, which takes the
/// host less time than to make a graph of them for one launch. Where it is told to make graphs, it keeps this many, one
/// for each shape of a step: its own default is used up by sessions that grow side by side, and then it fails.
const CUDA: [(&str, &str); 2] = [("MLX_USE_CUDA_GRAPHS", "0"), ("MLX_CUDA_GRAPH_CACHE_SIZE", "20000")];

fn main() {
    for (variable, value) in CUDA {
        if std::env::var_os(variable).is_none() {
            // SAFETY: no other thread has been started that could read the environment.
            unsafe { std::env::set_var(variable, value) };
        }
    }
    let code = llmeval::cli::main();
    // What can't be written now has no reader.
    let _ = std::io::stdout().flush();
    // MLX's CUDA part takes itself down in exit handlers, by then without a driver, and aborts.
    signal_hook::low_level::exit(code.into());
}
