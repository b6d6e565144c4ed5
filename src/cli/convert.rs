//! `llmeval models convert`: a dense checkpoint becomes a quantised folder in the mlx-community layout.

use super::exit::INTERRUPTED;
use super::interrupt::Interrupt;
use super::progress::{LoadBar, RunBar};
use super::words::print_json;
use crate::hub::{ModelFiles, resolve};
use crate::model::{ConvertError, Converted, ModelError, Quantization, convert};
use crate::platform;
use crate::protocol::{self, ModelSource, bytes};
use anyhow::{Context, bail};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

/// `llmeval models convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArguments {
    /// A hub id (owner/name) or a folder with a dense checkpoint, as Hugging Face lays it out
    source: String,
    /// The folder to write; it must not be there yet
    target: PathBuf,
    /// Bits of a weight: 2, 3, 4, 5, 6 or 8
    #[arg(long, value_name = "B", default_value_t = 4)]
    bits: i32,
    /// How many weights share a scale: 32, 64 or 128
    #[arg(long, value_name = "G", default_value_t = 64)]
    group_size: i32,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

pub(super) async fn run(arguments: ConvertArguments, json: bool) -> anyhow::Result<u8> {
    let ConvertArguments { source, target, bits, group_size, quiet } = arguments;
    let quantization = Quantization::new(bits, group_size)?;
    if target.exists() {
        return Err(ConvertError::Exists(target).into());
    }
    if let Some(problem) = platform::gpu_problem() {
        bail!("{problem}");
    }
    let mut interrupt = Interrupt::listen()?;
    let source = ModelSource::parse(&source);
    let Some(files) = bring(&source, quiet || json, &mut interrupt).await? else { return Ok(INTERRUPTED) };

    let bar = RunBar::new(quiet || json);
    let (shown, stop, folder) = (bar.clone(), interrupt.clone(), target.clone());
    let work = tokio::task::spawn_blocking(move || {
        convert(&files, &folder, quantization, &|done, total| {
            shown.show(done as u32, total as u32);
            !stop.was_pressed()
        })
    });
    let converted = work.await?;
    bar.clear();
    match converted {
        Err(ConvertError::Source(ModelError::Cancelled)) => {
            writeln!(io::stderr(), "llmeval: stopped; nothing was written")?;
            Ok(INTERRUPTED)
        }
        converted => {
            let Converted { parameters, weight_bytes } =
                converted.with_context(|| format!("{source} can't be converted"))?;
            if json {
                return print_json(&serde_json::json!({
                    "folder": target, "parameters": parameters, "weight_bytes": weight_bytes,
                }));
            }
            let bits = weight_bytes as f64 * 8.0 / parameters.max(1) as f64;
            let (parameters, weights) = (protocol::parameters(parameters), bytes(weight_bytes));
            writeln!(
                io::stdout(),
                "{} holds {parameters} parameters in {weights}, {bits:.2} bits each",
                target.display()
            )?;
            Ok(0)
        }
    }
}

/// The files of `source`, downloaded where they aren't here; none where Ctrl-C came first.
async fn bring(source: &ModelSource, quiet: bool, interrupt: &mut Interrupt) -> anyhow::Result<Option<ModelFiles>> {
    let bar = LoadBar::new(source.display_name(), quiet);
    let files = tokio::select! {
        files = resolve(source, |progress| bar.show(&progress)) => Some(files),
        () = interrupt.pressed() => None,
    };
    bar.clear();
    if files.is_none() {
        writeln!(io::stderr(), "llmeval: stopped; the same command goes on from here")?;
    }
    Ok(files.transpose()?)
}
