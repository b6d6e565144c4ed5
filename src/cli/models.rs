//! `llmeval models`: which models there are, what one is, bringing it here, removing it.

use super::convert::{self, ConvertArguments};
use super::exit::INTERRUPTED;
use super::interrupt::Interrupt;
use super::progress::LoadBar;
use super::words::print_json;
use crate::hub::{Hub, HubError, HubSettings, Machine, ModelFiles, Token, inspect, resolve, sampling_defaults};
use crate::model::{ComputeDevice, check, check_config, supported_architectures};
use crate::protocol::{
    ListedModel, MEMORY_TOKENS, ModelCard, ModelSource, OnDisk, SamplingDefaults, bytes, parameters,
};
use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

/// What to do with models.
#[derive(Args, Clone, Debug)]
pub struct ModelsArguments {
    #[command(subcommand)]
    command: ModelsCommand,
    /// Print JSON and nothing else
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum ModelsCommand {
    /// Lists the models to choose from, and what is here of them
    List {
        /// Words that a model's name or id must have
        query: Vec<String>,
    },
    /// Says what a model is, what memory it takes and whether it will run; reads no weights
    Info {
        /// starter, a hub id (owner/name), a folder or a .gguf file
        model: String,
        /// Count memory for so many sessions
        #[arg(long, value_name = "N", default_value_t = 8)]
        sessions: u32,
        /// Count memory for sessions of so many tokens
        #[arg(long, value_name = "T", default_value_t = MEMORY_TOKENS)]
        tokens: u64,
    },
    /// Brings a model here, or what lacks of it; Ctrl-C stops, and the next call goes on from there
    Pull {
        /// A hub id (owner/name)
        model: String,
        /// Show no progress
        #[arg(long)]
        quiet: bool,
    },
    /// Removes a model of the hub from this machine
    Rm {
        /// A hub id (owner/name)
        model: String,
        /// Remove only what a stopped download left
        #[arg(long)]
        partial: bool,
    },
    /// Quantises a dense checkpoint into a new folder in the layout of mlx-community's models
    Convert(ConvertArguments),
    /// Keeps an access token for private and gated models in the system's keychain
    Token {
        /// Remove it from there
        #[arg(long)]
        forget: bool,
    },
}

/// Does what `arguments` say; gives the exit code.
pub async fn run(arguments: ModelsArguments) -> anyhow::Result<u8> {
    let json = arguments.json;
    match arguments.command {
        ModelsCommand::List { query } => list(&query.join(" "), json),
        ModelsCommand::Info { model, sessions, tokens } => info(&model, sessions.into(), tokens, json).await,
        ModelsCommand::Pull { model, quiet } => pull(&model, quiet || json, json).await,
        ModelsCommand::Rm { model, partial } => remove(&model, partial, json),
        ModelsCommand::Convert(arguments) => convert::run(arguments, json).await,
        ModelsCommand::Token { forget } => token(forget).await,
    }
}

fn list(query: &str, json: bool) -> anyhow::Result<u8> {
    let machine = Machine::detect(ComputeDevice::detect().kind);
    let models = Hub::from_environment()?.models(machine);
    let rows: Vec<ListRow> = models.into_iter().filter(|model| model.matches(query)).map(ListRow::new).collect();
    if json {
        return print_json(&rows);
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{:<47}{:>11}{:>10}{:>20}  HERE", "MODEL", "PARAMETERS", "DOWNLOAD", "MEMORY, 1 / 8")?;
    for row in &rows {
        let memory = match row.memory_bytes {
            Some([one, eight]) => format!("{} / {}", bytes(one), bytes(eight)),
            None => String::new(),
        };
        let count = row.parameters.map(parameters).unwrap_or_default();
        let download = row.download_bytes.map(bytes).unwrap_or_default();
        let here = row.here();
        writeln!(stdout, "{:<47}{count:>11}{download:>10}{memory:>20}  {here}", row.model)?;
    }
    writeln!(
        stdout,
        "\nMemory: weights and 1 or 8 sessions of {MEMORY_TOKENS} tokens on the {}.",
        machine.device.name()
    )?;
    Ok(0)
}

/// One model of the list.
#[derive(Serialize)]
struct ListRow {
    /// As `--model` takes it.
    model: String,
    name: String,
    family: Option<String>,
    parameters: Option<u64>,
    download_bytes: Option<u64>,
    /// With 1 and with 8 sessions.
    memory_bytes: Option<[u64; 2]>,
    /// What its makers advise.
    sampling: Option<SamplingDefaults>,
    extra_stop_tokens: Option<Vec<String>>,
    can_think: Option<bool>,
    supported: Option<bool>,
    fits: Option<bool>,
    on_disk: OnDisk,
}

impl ListRow {
    fn new(model: ListedModel) -> Self {
        let entry = model.entry.as_ref();
        Self {
            model: model.source.to_string(),
            family: entry.map(|entry| entry.family.clone()),
            parameters: model.parameters,
            download_bytes: entry.map(|entry| entry.download_bytes),
            memory_bytes: model.memory_bytes,
            sampling: entry.map(|entry| entry.sampling),
            extra_stop_tokens: entry.map(|entry| entry.extra_stop_tokens.clone()),
            can_think: entry.map(|entry| entry.can_think),
            supported: entry.map(|entry| is_supported(&entry.architecture)),
            fits: model.fits,
            on_disk: model.on_disk,
            name: model.name,
        }
    }

    fn here(&self) -> String {
        let here = match self.on_disk {
            OnDisk::No => String::new(),
            OnDisk::Partly { bytes: here } => format!("{} so far", bytes(here)),
            OnDisk::Whole { bytes: here } => bytes(here),
        };
        match (self.supported, self.fits) {
            (Some(false), _) => join(&here, "not supported"),
            (_, Some(false)) => join(&here, "too large for this machine"),
            _ => here,
        }
    }
}

fn join(one: &str, other: &str) -> String {
    if one.is_empty() { other.to_owned() } else { format!("{one}, {other}") }
}

async fn info(model: &str, sessions: u64, tokens: u64, json: bool) -> anyhow::Result<u8> {
    let source = ModelSource::parse(model);
    let machine = Machine::detect(ComputeDevice::detect().kind);
    let Looked { card, on_disk, refusal } = look(&source).await?;
    let info = Info {
        model: source.to_string(),
        sampling: sampling_defaults(&source),
        memory_bytes: card.footprint.bytes(sessions, tokens, machine.device),
        machine_memory_bytes: machine.memory_bytes,
        problem: refusal.or_else(|| too_large(&card, machine, sessions, tokens)),
        sessions,
        tokens,
        on_disk,
        card,
    };
    if json { print_json(&info) } else { info.print(machine) }
}

/// What a look at configuration and headers gave.
struct Looked {
    card: ModelCard,
    on_disk: OnDisk,
    /// Why a load would refuse it; none where it wouldn't.
    refusal: Option<String>,
}

/// Looks at a model's files where they are here, else at those of the hub.
async fn look(source: &ModelSource) -> anyhow::Result<Looked> {
    let hub = Hub::from_environment()?;
    let on_disk = hub.on_disk(source);
    let files: ModelFiles = match source {
        ModelSource::Hub(id) => match hub.cached(id)? {
            Some(files) => files,
            None => return look_at_hub(&hub, id, on_disk).await,
        },
        local => resolve(local, |_| ()).await?,
    };
    match (inspect(&files), check(&files).err()) {
        (Ok(card), refusal) => Ok(Looked { card, on_disk, refusal: refusal.map(|error| error.to_string()) }),
        // Of an unknown architecture it is not known where its figures stand; that is the better reason.
        (Err(_), Some(refusal)) => Err(refusal.into()),
        (Err(error), None) => Err(error.into()),
    }
}

async fn look_at_hub(hub: &Hub, id: &str, on_disk: OnDisk) -> anyhow::Result<Looked> {
    let refusal_of = |config| check_config(Path::new("config.json"), config).err();
    match hub.peek(id).await {
        Ok(card) => {
            let refusal = refusal_of(card.config.clone()).map(|error| error.to_string());
            Ok(Looked { card, on_disk, refusal })
        }
        Err(error @ HubError::NotAModel { .. }) => match hub.peek_config(id).await.ok().and_then(refusal_of) {
            Some(refusal) => Err(refusal.into()),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn too_large(card: &ModelCard, machine: Machine, sessions: u64, tokens: u64) -> Option<String> {
    let needed = card.footprint.bytes(sessions, tokens, machine.device);
    (!machine.fits(needed)).then(|| {
        let (needed, memory) = (bytes(needed), bytes(machine.memory_bytes));
        format!("{sessions} sessions of {tokens} tokens need {needed} and this machine has {memory}")
    })
}

#[derive(Serialize)]
struct Info {
    model: String,
    #[serde(flatten)]
    card: ModelCard,
    /// What its makers advise.
    sampling: SamplingDefaults,
    sessions: u64,
    tokens: u64,
    memory_bytes: u64,
    machine_memory_bytes: u64,
    on_disk: OnDisk,
    /// Why it won't run; none where it will.
    problem: Option<String>,
}

impl Info {
    fn print(&self, machine: Machine) -> anyhow::Result<u8> {
        let template = match (self.card.has_chat_template, self.card.can_think) {
            (false, _) => "none: use --raw",
            (true, false) => "found",
            (true, true) => "found, with a thinking switch",
        };
        let here = match self.on_disk {
            OnDisk::No => "no".to_owned(),
            OnDisk::Partly { bytes: here } => format!("{} of it", bytes(here)),
            OnDisk::Whole { bytes: here } => format!("yes, {}", bytes(here)),
        };
        let footprint = self.card.footprint;
        let (sessions, tokens, memory) = (self.sessions, self.tokens, bytes(self.memory_bytes));
        let rows = [
            ("Model", self.model.clone()),
            ("Architecture", self.card.architecture.clone()),
            ("Parameters", parameters(footprint.parameters)),
            ("Weights", format!("{}, {}", bytes(footprint.weight_bytes), self.card.quantization)),
            ("Context", format!("{} tokens", footprint.context_length)),
            ("Chat template", template.to_owned()),
            ("Sampling", self.sampling.words().unwrap_or_else(|| "nothing is advised".to_owned())),
            (
                "Memory",
                format!("{memory} with {sessions} sessions of {tokens} tokens on the {}", machine.device.name()),
            ),
            ("Here", here),
            ("Will run", self.problem.as_ref().map_or_else(|| "yes".to_owned(), |problem| format!("no: {problem}"))),
        ];
        let mut stdout = io::stdout();
        for (name, value) in rows {
            writeln!(stdout, "{name:<15}{value}")?;
        }
        Ok(0)
    }
}

async fn pull(model: &str, quiet: bool, json: bool) -> anyhow::Result<u8> {
    let id = hub_id(model)?;
    let mut interrupt = Interrupt::listen()?;
    let mut settings = HubSettings::from_environment();
    let files = loop {
        let hub = Hub::new(settings.clone())?;
        let bar = LoadBar::new(id.clone(), quiet);
        let pulled = tokio::select! {
            pulled = hub.pull(&id, |progress| bar.show(&progress)) => Some(pulled),
            () = interrupt.pressed() => None,
        };
        bar.clear();
        match pulled {
            None => {
                writeln!(io::stderr(), "llmeval: stopped; the same command goes on from here")?;
                return Ok(INTERRUPTED);
            }
            Some(Err(error @ (HubError::TokenNeeded(_) | HubError::TokenRefused(_)))) if io::stdin().is_terminal() => {
                writeln!(io::stderr(), "{error}")?;
                settings.token = Some(ask_for_token().await?);
            }
            Some(pulled) => break pulled?,
        }
    };
    let ModelFiles::Folder(files) = files else { bail!("{id} is not a folder of files") };
    if json {
        return print_json(&serde_json::json!({ "model": id, "folder": files.folder }));
    }
    writeln!(io::stdout(), "{id} is in {}", files.folder.display())?;
    Ok(0)
}

fn remove(model: &str, partial: bool, json: bool) -> anyhow::Result<u8> {
    let id = hub_id(model)?;
    let hub = Hub::from_environment()?;
    let freed = if partial {
        let (_, coming) = hub.bytes_on_disk(&id)?;
        hub.discard_partial(&id)?;
        coming
    } else {
        hub.remove(&id)?
    };
    if json {
        return print_json(&serde_json::json!({ "model": id, "freed_bytes": freed }));
    }
    writeln!(io::stdout(), "Removed {id}: {} are free again", bytes(freed))?;
    Ok(0)
}

async fn token(forget: bool) -> anyhow::Result<u8> {
    if forget {
        tokio::task::spawn_blocking(Token::forget).await??;
        writeln!(io::stdout(), "The keychain holds no token any more")?;
    } else {
        ask_for_token().await?;
        writeln!(io::stdout(), "The token is in the system's keychain")?;
    }
    Ok(0)
}

/// Asks for a token without showing it, and keeps it. Where nobody types it comes from standard input.
async fn ask_for_token() -> anyhow::Result<Token> {
    tokio::task::spawn_blocking(|| {
        let text = if io::stdin().is_terminal() {
            write!(io::stderr(), "Access token (not shown): ")?;
            console::Term::stderr().read_secure_line()?
        } else {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        };
        let Some(token) = Token::new(&text) else { bail!("this is no token: it should be one word") };
        token.keep()?;
        Ok(token)
    })
    .await?
}

fn hub_id(model: &str) -> anyhow::Result<String> {
    match ModelSource::parse(model) {
        ModelSource::Hub(id) => Ok(id),
        other => bail!("{other} is no model of the hub: give its id, as mlx-community/Qwen3-1.7B-4bit"),
    }
}

fn is_supported(architecture: &str) -> bool {
    supported_architectures().any(|supported| supported == architecture)
}
