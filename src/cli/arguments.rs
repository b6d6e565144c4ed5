//! What can be said on the command line.

use super::models::ModelsArguments;
use super::prompts::{PromptsError, read_prompts};
use crate::engine::EngineSettings;
use crate::evaluation::LoadOptions;
use crate::hub::sampling_defaults;
use crate::model::Quantization;
use crate::protocol::{Execution, ModelSource, ParallelConfig, SamplingDefaults};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Many LLM sessions at once over one shared MLX model.
///
/// Without a command it opens the window.
#[derive(Clone, Debug, Parser)]
#[command(name = "llmeval", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Opened in the window: a model's folder, a .gguf file, or a run exported as JSON
    #[arg(value_name = "FILE", value_parser = OsStringValueParser::new().try_map(there))]
    pub files: Vec<PathBuf>,
}

/// Refuses what is no path, so that a misspelt command opens no window.
fn there(path: OsString) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(path);
    if path.exists() { Ok(path) } else { Err("neither a command nor a file that is there") }
}

/// What the program does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Runs several sessions at once over one model and reports what each gave
    #[command(after_help = PARALLEL_HELP)]
    Parallel(ParallelArguments),
    /// Proves that no session's tokens depend on the others: each runs alone and among others, and is compared
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArguments),
    /// Measures how throughput grows with the number of sessions
    Bench(BenchArguments),
    /// Says which device MLX will use, and why
    Devices,
    /// Lists, describes, brings and removes models
    Models(ModelsArguments),
}

const PARALLEL_HELP: &str = "\
Examples:
  llmeval parallel
      Three sessions over the starter model, each with a prompt of its own
  llmeval parallel --sessions 16 --prompt 'Tell a joke' --temperature 1.2
      One prompt, sixteen answers
  llmeval parallel --model mlx-community/Qwen3-1.7B-4bit --json > run.json
      Another model, the results for a program to read

Sampling:
  Where an option is not given, the model's makers are heeded (`llmeval models info` shows what they advise)

Exit codes:
  0 all sessions finished, 1 some session failed, 2 nothing could start, 130 stopped by Ctrl-C (what came
  so far is printed; press it again to end at once)";

const VERIFY_HELP: &str = "\
Sessions join late, leave early and are cancelled at random steps, the same ones for the same --seed.

Exit codes:
  0 every session equals itself alone, 1 some session differs or failed, 2 nothing could start, 130 stopped";

/// `llmeval parallel`.
#[derive(Args, Clone, Debug)]
pub struct ParallelArguments {
    /// How many sessions run at once
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true)]
    pub sessions: u32,
    /// How the sessions run.
    #[command(flatten)]
    pub settings: RunSettings,
    /// How sessions share the device; where left out, exact, and batched for a model that can't run exactly
    #[arg(long, value_enum)]
    pub execution: Option<ExecutionArgument>,
    /// What to print.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `llmeval verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// How many sessions run at once
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true)]
    pub sessions: u32,
    /// How often they run together, each time on another schedule
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true)]
    pub rounds: u32,
    /// How the sessions run.
    #[command(flatten)]
    pub settings: RunSettings,
    /// How sessions share the device
    #[arg(long, value_enum, default_value_t = ExecutionArgument::Exact)]
    pub execution: ExecutionArgument,
    /// What to print.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `llmeval bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArguments {
    /// How many sessions run at once, one run each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32])]
    pub sessions: Vec<u32>,
    /// How the sessions run.
    #[command(flatten)]
    pub settings: RunSettings,
    /// How sessions share the device; give several with commas
    #[arg(long, value_enum, value_name = "EXECUTION,…", value_delimiter = ',',
        default_values_t = [ExecutionArgument::Serialized, ExecutionArgument::Batched])]
    pub execution: Vec<ExecutionArgument>,
    /// What to print.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// What to print, and what not.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArguments {
    /// Print JSON and nothing else
    #[arg(long)]
    pub json: bool,
    /// Print the results only: no progress
    #[arg(long)]
    pub quiet: bool,
}

/// The settings that all kinds of runs share.
#[derive(Args, Clone, Debug)]
pub struct RunSettings {
    /// starter, a hub id (owner/name), a folder in the mlx-community layout, or a .gguf file
    #[arg(long, value_name = "MODEL", default_value = ModelSource::STARTER_NAME)]
    pub model: String,
    /// A prompt; give it again for more. With fewer prompts than sessions they repeat in order
    #[arg(long = "prompt", value_name = "TEXT")]
    pub prompts: Vec<String>,
    /// More prompts: one a line, or a JSON array of texts
    #[arg(long, value_name = "FILE")]
    pub prompts_file: Option<PathBuf>,
    /// The system prompt
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// The most tokens of each answer
    #[arg(long, value_name = "T", default_value_t = 100, allow_negative_numbers = true)]
    pub max_tokens: u32,
    /// How freely to choose tokens; 0 always takes the likeliest [default: the model's, else 0.7]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Choose among the likeliest tokens whose probabilities reach this sum [default: the model's, else 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Choose among the K likeliest tokens; 0 for all [default: the model's, else 0]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<u32>,
    /// Choose among tokens at least this likely, as a share of the likeliest one's probability
    /// [default: the model's, else 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Above 1 makes tokens that came before less likely [default: the model's, else 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f32>,
    /// Session i's random numbers begin at S + i × 1000
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    /// A text that ends an answer and is not shown; give it again for more
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// The most memory that MLX keeps for reuse, in MB; on an NVIDIA GPU at least 2000
    #[arg(long, value_name = "MB", default_value_t = ParallelConfig::default().cache_limit_mb,
        allow_negative_numbers = true)]
    pub cache_limit: u64,
    /// The longest that reading a prompt may hold up running answers, in ms
    #[arg(long, value_name = "MS", default_value_t = 200, allow_negative_numbers = true)]
    pub max_stall_ms: u64,
    /// How many rows each step of exact execution has; chosen at load where not given
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub exact_width: Option<u32>,
    /// Pack a dense checkpoint's matrices to so many bits while it loads, as `models convert` would
    #[arg(long, value_enum, value_name = "BITS")]
    pub quantize: Option<QuantizeArgument>,
    /// Give the prompts to the model as they are, without its chat template
    #[arg(long)]
    pub raw: bool,
    /// Let a model that can think do so before it answers
    #[arg(long)]
    pub thinking: bool,
}

impl Default for ParallelArguments {
    fn default() -> Self {
        /// Lets clap fill in the defaults that the options declare.
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            arguments: ParallelArguments,
        }
        Defaults::parse_from(["llmeval"]).arguments
    }
}

impl ParallelArguments {
    /// The run that these options ask for. Reads the prompts file.
    pub fn config(&self) -> Result<ParallelConfig, PromptsError> {
        self.settings.config(self.sessions, self.execution.map_or(Execution::default(), Execution::from))
    }
}

impl RunSettings {
    /// A run of so many sessions with these settings. Reads the prompts file.
    pub fn config(&self, sessions: u32, execution: Execution) -> Result<ParallelConfig, PromptsError> {
        let mut prompts = self.prompts.clone();
        if let Some(file) = &self.prompts_file {
            prompts.extend(read_prompts(file)?);
        }
        let model = ModelSource::parse(&self.model);
        let advised = sampling_defaults(&model);
        let config = ParallelConfig {
            sessions,
            model,
            prompts,
            system: self.system.clone(),
            max_tokens: self.max_tokens,
            seed: self.seed,
            stop: self.stop.clone(),
            execution,
            cache_limit_mb: self.cache_limit,
            raw: self.raw,
            thinking: self.thinking,
            ..ParallelConfig::default()
        };
        Ok(config.sampled(advised).sampled(self.sampling()))
    }

    /// What the person said of sampling.
    fn sampling(&self) -> SamplingDefaults {
        SamplingDefaults {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        }
    }

    /// What the load is asked for besides the model.
    pub fn load_options(&self) -> LoadOptions {
        let quantize = self.quantize.map(Quantization::from);
        LoadOptions { exact_width: self.exact_width, quantize, ..LoadOptions::default() }
    }

    /// How the engine shares the device among sessions, and how much memory is kept for reuse.
    pub fn engine(&self) -> EngineSettings {
        EngineSettings {
            max_stall: Duration::from_millis(self.max_stall_ms),
            cache_limit: self.cache_limit.saturating_mul(1_000_000),
            ..EngineSettings::default()
        }
    }
}

/// Bits to pack matrices to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuantizeArgument {
    /// 4 bits, groups of 64
    #[value(name = "4")]
    Four,
    /// 8 bits, groups of 64
    #[value(name = "8")]
    Eight,
}

impl From<QuantizeArgument> for Quantization {
    fn from(argument: QuantizeArgument) -> Self {
        let bits = match argument {
            QuantizeArgument::Four => 4,
            QuantizeArgument::Eight => 8,
        };
        Self { bits, group_size: 64 }
    }
}

/// [`Execution`] as an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExecutionArgument {
    /// Each session decodes by itself; steps take turns
    Serialized,
    /// All sessions share each step: the fastest
    Batched,
    /// Batched so that no session's tokens depend on the others
    Exact,
}

impl From<ExecutionArgument> for Execution {
    fn from(argument: ExecutionArgument) -> Self {
        match argument {
            ExecutionArgument::Serialized => Self::Serialized,
            ExecutionArgument::Batched => Self::Batched,
            ExecutionArgument::Exact => Self::Exact,
        }
    }
}

impl std::fmt::Display for ExecutionArgument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(Execution::from(*self).name())
    }
}
