//! A backend without a model: the next token is a function of prompt, seed and position, and a script says when a
//! row fails, panics or takes its time. Everything it is asked to do is written down.

use llmeval::engine::{
    self, Backend, BackendError, EngineSettings, LoadCancel, PromptRules, StepOutput, common_beginning,
};
use llmeval::protocol::{DeviceKind, Execution, MemoryFigures, ModelFacts, ModelSource, SessionId, SessionRequest};
use llmeval::session::LoadedModel;
use llmeval::text::TextModel;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What goes wrong with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It gets no row.
    OpenFails,
    /// Its prompt can't be read.
    PrefillFails,
    /// Any launch that it takes part in fails, from its step on that gives this token (the first is 0).
    LaunchFails(u32),
    /// Any launch that it takes part in panics, from the step on that gives this token.
    LaunchPanics(u32),
    /// Any step that it takes part in can't be read, from the step on that gives this token.
    ReadFails(u32),
}

/// How the backend behaves.
#[derive(Clone)]
pub struct Script {
    /// The most tokens of a row.
    pub context_length: u32,
    /// How long a step takes.
    pub step: Duration,
    /// How long a chunk of prefill takes for each token.
    pub prefill_token: Duration,
    /// What goes wrong with which session.
    pub troubles: Vec<(SessionId, Trouble)>,
    /// Ids are below this.
    pub vocabulary: u32,
    /// Where given, launches wait while it is closed.
    pub gate: Option<Gate>,
    /// Where given, the answers in the order in which rows are opened, each followed by `END`.
    pub answers: Vec<Vec<u32>>,
    /// A broken device: a row that is not the first of its step gets the first one's token.
    pub leaks_from_neighbour: bool,
    /// An inexact device: the logits' bits change with the number of rows.
    pub hashes_depend_on_width: bool,
    /// Whether several prompts are read at once.
    pub reads_together: bool,
    /// How much of every prompt another session has read before.
    pub known: usize,
    /// Whether a step is launched before the last one was read.
    pub looks_ahead: bool,
    /// Whether prompts that were read are kept, so that others can take their beginnings over.
    pub keeps_prompts: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            context_length: 1 << 30,
            step: Duration::ZERO,
            prefill_token: Duration::ZERO,
            troubles: Vec::new(),
            vocabulary: 250,
            gate: None,
            answers: Vec::new(),
            leaks_from_neighbour: false,
            hashes_depend_on_width: false,
            reads_together: false,
            known: 0,
            looks_ahead: true,
            keeps_prompts: false,
        }
    }
}

/// One thing that the backend was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Open(SessionId),
    Prefill { session: SessionId, tokens: usize },
    PrefillTogether { sessions: Vec<SessionId> },
    Launch { sessions: Vec<SessionId>, execution: Execution },
    Read,
    ForgetPrompts,
}

/// What a backend was asked to do so far; can be read while it works.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Call>>>);

impl Log {
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, call: Call) {
        self.0.lock().unwrap().push(call);
    }
}

/// Holds the engine's thread up until a test opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

/// The backend. Made on the engine's thread; not Send, as a real one isn't.
pub struct ScriptedBackend {
    script: Script,
    log: Log,
    cache_limit: u64,
    rows: u64,
    opened: usize,
    /// Prompts that were read, where the script says so, and whether for exact execution.
    kept: Vec<(Vec<u32>, bool)>,
    /// Held by every row too.
    alive: Rc<()>,
    /// What rows that step together share.
    shared_bytes: u64,
    not_send: std::marker::PhantomData<*const ()>,
}

impl ScriptedBackend {
    pub fn new(script: Script, log: Log) -> Self {
        Self {
            script,
            log,
            cache_limit: 0,
            rows: 0,
            opened: 0,
            kept: Vec::new(),
            alive: Rc::default(),
            shared_bytes: 0,
            not_send: std::marker::PhantomData,
        }
    }

    fn trouble(&self, session: SessionId) -> Option<Trouble> {
        self.script.troubles.iter().find(|(troubled, _)| *troubled == session).map(|(_, trouble)| *trouble)
    }
}

pub struct Row {
    request: SessionRequest,
    execution: Execution,
    prefilled: usize,
    given: u32,
    answer: Option<Vec<u32>>,
    _alive: Rc<()>,
}

impl Row {
    /// The prompt but for its last token.
    fn unfed(&self) -> &[u32] {
        self.request.prompt.split_last().unwrap().1
    }
}

/// The id that ends an answer of [`Script::answers`].
pub const END: u32 = 0;

pub struct Step {
    outputs: Result<Vec<StepOutput>, BackendError>,
}

/// The token that comes at `position` of the answer to `request`: what a test expects of the backend.
pub fn scripted_token(request: &SessionRequest, position: u32, vocabulary: u32) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ request.sampling.seed();
    for value in request.prompt.iter().copied().chain([position]) {
        hash = (hash ^ u64::from(value)).wrapping_mul(0x0100_0000_01b3);
    }
    // Ids 0 and 1 are left for end of sequence.
    2 + (hash >> 32) as u32 % (vocabulary - 2)
}

/// The whole answer.
pub fn scripted_answer(request: &SessionRequest, vocabulary: u32) -> Vec<u32> {
    (0..request.max_tokens).map(|position| scripted_token(request, position, vocabulary)).collect()
}

impl Backend for ScriptedBackend {
    type Row = Row;
    type Step = Step;

    fn open(&mut self, request: &SessionRequest, execution: Execution) -> Result<Row, BackendError> {
        self.log.add(Call::Open(request.id));
        if self.trouble(request.id) == Some(Trouble::OpenFails) {
            return Err(BackendError(format!("no room for session {}", request.id)));
        }
        let answer = self.script.answers.get(self.opened).cloned();
        self.opened += 1;
        self.rows += 1;
        let mut row =
            Row { request: request.clone(), execution, prefilled: 0, given: 0, answer, _alive: Rc::clone(&self.alive) };
        row.prefilled = self.known(row.unfed(), execution);
        Ok(row)
    }

    fn prefilled(&self, row: &Row) -> usize {
        row.prefilled
    }

    fn prefill(&mut self, row: &mut Row, limit: usize) -> Result<usize, BackendError> {
        if self.trouble(row.request.id) == Some(Trouble::PrefillFails) {
            return Err(BackendError(format!("the prompt of session {} can't be read", row.request.id)));
        }
        let tokens = self.prompt_rules(row.execution).pass(row.prefilled, row.unfed().len(), limit);
        thread::sleep(self.script.prefill_token * tokens as u32);
        self.log.add(Call::Prefill { session: row.request.id, tokens });
        row.prefilled += tokens;
        if self.script.keeps_prompts && row.prefilled == row.unfed().len() {
            self.kept.push((row.unfed().to_vec(), row.execution == Execution::Exact));
        }
        Ok(tokens)
    }

    fn prompt_rules(&self, execution: Execution) -> PromptRules {
        let together = self.script.reads_together && execution == Execution::Batched;
        PromptRules { cut: 1, stops_at_cut: false, together }
    }

    fn known(&self, tokens: &[u32], execution: Execution) -> usize {
        let kept = self.kept.iter().filter(|(_, exact)| *exact == (execution == Execution::Exact));
        let shared = kept.map(|(kept, _)| common_beginning(kept, tokens, 1)).max();
        shared.unwrap_or_default().max(self.script.known.min(tokens.len()))
    }

    fn prefill_together(&mut self, rows: &mut [(&mut Row, usize)]) -> Result<Vec<usize>, BackendError> {
        self.log.add(Call::PrefillTogether { sessions: rows.iter().map(|(row, _)| row.request.id).collect() });
        if rows.iter().any(|(row, _)| self.trouble(row.request.id) == Some(Trouble::PrefillFails)) {
            return Err(BackendError("these prompts can't be read".into()));
        }
        rows.iter_mut().map(|(row, limit)| self.prefill(row, *limit)).collect()
    }

    fn launch(&mut self, rows: &mut [&mut Row], execution: Execution) -> Result<Step, BackendError> {
        if let Some(gate) = &self.script.gate {
            gate.wait();
        }
        self.log.add(Call::Launch { sessions: rows.iter().map(|row| row.request.id).collect(), execution });
        let mut read_fails = false;
        for row in rows.iter() {
            assert_eq!(row.prefilled, row.request.prompt.len() - 1, "a row decodes before its prompt is read");
            match self.trouble(row.request.id) {
                Some(Trouble::LaunchFails(at)) if row.given >= at => {
                    return Err(BackendError(format!("session {} can't take a step", row.request.id)));
                }
                Some(Trouble::LaunchPanics(at)) if row.given >= at => panic!("scripted panic"),
                Some(Trouble::ReadFails(at)) if row.given >= at => read_fails = true,
                _ => {}
            }
        }
        if rows.len() > 1 {
            self.shared_bytes = 50_000;
        }
        let width = if self.script.hashes_depend_on_width { rows.len() as u64 } else { 0 };
        let outputs = rows.iter_mut().map(|row| {
            let token = match &row.answer {
                Some(answer) => answer.get(row.given as usize).copied().unwrap_or(END),
                None => scripted_token(&row.request, row.given, self.script.vocabulary),
            };
            row.given += 1;
            StepOutput { token, logits_hash: row.request.hash_logits.then_some((u64::from(token) << 8) + width) }
        });
        let mut outputs: Vec<StepOutput> = outputs.collect();
        if self.script.leaks_from_neighbour {
            let first = outputs[0];
            outputs.fill(first);
        }
        Ok(Step { outputs: if read_fails { Err(BackendError("the step got lost".into())) } else { Ok(outputs) } })
    }

    fn read(&mut self, step: Step) -> Result<Vec<StepOutput>, BackendError> {
        self.log.add(Call::Read);
        thread::sleep(self.script.step);
        step.outputs
    }

    fn looks_ahead(&self) -> bool {
        self.script.looks_ahead
    }

    fn memory(&self) -> MemoryFigures {
        MemoryFigures {
            active: 1_000_000 + self.rows * 1000 + self.shared_bytes,
            cache: self.cache_limit,
            peak: 1_000_000 + self.rows * 1000,
        }
    }

    fn reset_peak_memory(&mut self) {
        self.rows = 0;
    }

    fn forget_prompts(&mut self) {
        self.log.add(Call::ForgetPrompts);
        self.kept.clear();
    }

    fn free_unused(&mut self) {
        if Rc::strong_count(&self.alive) == 1 {
            self.shared_bytes = 0;
        }
    }

    fn set_cache_limit(&mut self, bytes: u64) -> Result<(), BackendError> {
        self.cache_limit = bytes;
        Ok(())
    }

    fn context_length(&self) -> u32 {
        self.script.context_length
    }
}

/// The text side of the scripted model: a real small tokenizer and chat template.
pub const TEXT_FOLDER: &str = "tests/fixtures/models/qwen3-f32";

/// A small tokenizer with the chat template of a family, of those in tests/fixtures/chat/templates. Only [`END`] ends an
/// answer, which no scripted token is.
pub fn text_with_template(template: &str) -> TextModel {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| std::fs::copy(fixtures.join(from), folder.path().join(to)).unwrap();
    copy("models/qwen3-f32/tokenizer.json", "tokenizer.json");
    copy(&format!("chat/templates/{template}.jinja"), "chat_template.jinja");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.json", r#"{ "model_type": "qwen3", "eos_token_id": 0 }"#);
    write("tokenizer_config.json", r#"{ "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>" }"#);
    TextModel::from_folder(folder.path()).unwrap()
}

/// A loaded model whose engine follows `script`.
pub async fn scripted_model(script: Script) -> (LoadedModel, Log) {
    scripted_model_with(script, EngineSettings::default()).await
}

/// The same, over an engine with other settings.
pub async fn scripted_model_with(script: Script, settings: EngineSettings) -> (LoadedModel, Log) {
    scripted(script, settings, TextModel::from_folder(Path::new(TEXT_FOLDER)).unwrap()).await
}

/// The same, with another tokenizer and chat template.
pub async fn scripted_model_with_text(script: Script, text: TextModel) -> (LoadedModel, Log) {
    scripted(script, EngineSettings::default(), text).await
}

async fn scripted(script: Script, settings: EngineSettings, text: TextModel) -> (LoadedModel, Log) {
    let log = Log::default();
    let backend_log = log.clone();
    let facts = ModelFacts {
        architecture: "scripted".into(),
        parameters: 1_000_000,
        weight_bytes: 4_000_000,
        kv_bytes_per_token: 1000,
        context_length: script.context_length,
        device: DeviceKind::Cpu,
        load_seconds: 0.25,
        exact_width: Ok(8),
        packed_bits: None,
    };
    let loader = move |_: &LoadCancel| Ok::<_, String>((ScriptedBackend::new(script, backend_log), facts));
    let (engine, facts) = engine::start(settings, loader).await.unwrap();
    (LoadedModel::new(engine, text, ModelSource::Folder(TEXT_FOLDER.into()), facts), log)
}
