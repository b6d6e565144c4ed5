//! Every setting that outlives the program, and how they are read back from a file.

use super::ScalingSettings;
use crate::protocol::{Execution, ModelSource, Packing, ParallelConfig, SamplingDefaults};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The version written into the file; a file with a higher one comes from a newer program.
pub const SETTINGS_VERSION: u32 = 1;

/// How many sessions the window's slider offers.
pub const SESSION_RANGE: RangeInclusive<u32> = 1..=32;

/// The stall budget that the engine begins with, in ms.
pub const DEFAULT_STALL_MS: u64 = 200;

/// The stall budgets that the window's slider offers, in ms.
pub const STALL_RANGE: RangeInclusive<u64> = 20..=1000;

/// The exponents of the single prompt's max-tokens slider: 2^10 to 2^15.
pub const MAX_TOKENS_LOG2: RangeInclusive<u32> = 10..=15;

/// Follow the system's theme, or override it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    /// What the system says.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

/// Which work the window's middle shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// One prompt, one answer: LLMEval.
    #[default]
    Single,
    /// Many sessions at once.
    Parallel,
    /// How throughput grows with the number of sessions.
    Scaling,
}

/// How the single prompt's answer is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// As it came.
    Plain,
    /// With headings, lists, code and tables.
    #[default]
    Markdown,
}

/// The single prompt's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SingleSettings {
    /// The prompt.
    pub prompt: String,
    /// The system prompt.
    pub system: String,
    /// The chat template's thinking switch.
    pub thinking: bool,
    /// Whether the model may call tools.
    pub tools: bool,
    /// Max tokens is 2 to this power.
    pub max_tokens_log2: u32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Plain or Markdown.
    pub display: Display,
    /// Whether the prompt's tall editor is open.
    pub prompt_expanded: bool,
}

impl SingleSettings {
    /// The most tokens of the answer.
    pub fn max_tokens(&self) -> u32 {
        1 << self.max_tokens_log2
    }
}

impl Default for SingleSettings {
    fn default() -> Self {
        Self {
            prompt: "Why is the sky blue?".into(),
            system: "You are a helpful assistant".into(),
            thinking: false,
            tools: false,
            max_tokens_log2: 11,
            temperature: 0.6,
            display: Display::default(),
            prompt_expanded: false,
        }
    }
}

/// Every setting that outlives the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The version of this layout: `SETTINGS_VERSION` where this program wrote it.
    pub version: u32,
    /// Follow the system's theme, or override it.
    pub theme: ThemeChoice,
    /// 1 is the size that the system asks for.
    pub zoom: f32,
    /// The window's inner size in points.
    pub window_size: [f32; 2],
    /// What the middle shows.
    pub view: View,
    /// The model to load at launch.
    pub model: ModelSource,
    /// How the next model's weights are held, if they are dense.
    pub packing: Packing,
    /// The single prompt's settings.
    pub single: SingleSettings,
    /// The next parallel run's settings. Its `model` and `temperatures` are filled in when a run starts.
    pub parallel: ParallelConfig,
    /// How the chosen model's makers advise to sample; what differs from it was chosen by the person.
    pub advised: SamplingDefaults,
    /// The next sweep's settings.
    pub scaling: ScalingSettings,
    /// The longest that reading a prompt may hold up running answers, in ms.
    pub max_stall_ms: u64,
    /// Whether the temperature is spread over the sessions, from 0 to its value.
    pub ladder: bool,
    /// Whether the timeline is shown under the panels.
    pub timeline: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: SETTINGS_VERSION,
            theme: ThemeChoice::default(),
            zoom: 1.0,
            window_size: [1280.0, 800.0],
            view: View::default(),
            model: ModelSource::default(),
            packing: Packing::default(),
            single: SingleSettings::default(),
            parallel: ParallelConfig::default(),
            advised: SamplingDefaults::default(),
            scaling: ScalingSettings::default(),
            max_stall_ms: DEFAULT_STALL_MS,
            ladder: false,
            timeline: true,
        }
    }
}

/// Why a settings file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A newer program wrote it.
    #[error(
        "it was written by a newer version of this program (settings version {0}, this one reads {SETTINGS_VERSION})"
    )]
    Newer(u32),
    /// It isn't what this program writes.
    #[error("it is damaged ({0})")]
    Broken(String),
}

impl Settings {
    /// Reads a settings file's text. Values outside of their range are pulled into it.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let broken = |error: serde_json::Error| SettingsError::Broken(error.to_string());
        // The version is read first: a newer file may hold values that this program can't name.
        let Version { version } = serde_json::from_str(text).map_err(broken)?;
        if version > SETTINGS_VERSION {
            return Err(SettingsError::Newer(version));
        }
        let settings: Self = serde_json::from_str(text).map_err(broken)?;
        Ok(settings.in_range())
    }

    /// The file's text.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Pulls every value into the range that the window's controls offer.
    pub fn in_range(mut self) -> Self {
        self.version = SETTINGS_VERSION;
        self.zoom = self.zoom.clamp(0.5, 3.0);
        self.max_stall_ms = self.max_stall_ms.clamp(*STALL_RANGE.start(), *STALL_RANGE.end());
        self.window_size = [self.window_size[0].clamp(640.0, 8192.0), self.window_size[1].clamp(480.0, 8192.0)];
        let single = &mut self.single;
        single.max_tokens_log2 = single.max_tokens_log2.clamp(*MAX_TOKENS_LOG2.start(), *MAX_TOKENS_LOG2.end());
        single.temperature = single.temperature.clamp(0.0, 2.0);
        let parallel = &mut self.parallel;
        parallel.sessions = parallel.sessions.clamp(*SESSION_RANGE.start(), *SESSION_RANGE.end());
        parallel.temperature = parallel.temperature.clamp(0.0, 2.0);
        parallel.max_tokens = parallel.max_tokens.clamp(1, 32_768);
        parallel.top_p = parallel.top_p.clamp(0.01, 1.0);
        parallel.min_p = parallel.min_p.clamp(0.0, 0.99);
        parallel.repetition_penalty = parallel.repetition_penalty.clamp(0.1, 2.0);
        parallel.cache_limit_mb = parallel.cache_limit_mb.min(65_536);
        self.scaling = self.scaling.in_range();
        self
    }

    /// Samples as the makers of the model that was chosen advise, but for what the person set otherwise. Says what
    /// changed where something was advised.
    pub fn take_advice(&mut self, advice: SamplingDefaults) -> Option<String> {
        let before = std::mem::replace(&mut self.advised, advice);
        let (run, single) = (ParallelConfig::default(), SingleSettings::default());
        let mut changed = Vec::new();
        let mut follow = |name: &str, value: &mut f32, usual: f32, before: Option<f32>, now: Option<f32>| {
            let (before, now) = (before.unwrap_or(usual), now.unwrap_or(usual));
            if *value == before && before != now {
                *value = now;
                changed.push(format!("{name} {now}"));
            }
        };
        let parallel = &mut self.parallel;
        follow("temperature", &mut parallel.temperature, run.temperature, before.temperature, advice.temperature);
        follow("top-p", &mut parallel.top_p, run.top_p, before.top_p, advice.top_p);
        follow("min-p", &mut parallel.min_p, run.min_p, before.min_p, advice.min_p);
        let penalty = &mut parallel.repetition_penalty;
        follow(
            "repetition penalty",
            penalty,
            run.repetition_penalty,
            before.repetition_penalty,
            advice.repetition_penalty,
        );
        let temperature = &mut self.single.temperature;
        follow(
            "the single prompt's temperature",
            temperature,
            single.temperature,
            before.temperature,
            advice.temperature,
        );
        let (top_k_before, top_k) = (before.top_k.unwrap_or(run.top_k), advice.top_k.unwrap_or(run.top_k));
        if parallel.top_k == top_k_before && top_k_before != top_k {
            parallel.top_k = top_k;
            changed.push(format!("top-k {top_k}"));
        }
        (!changed.is_empty() && advice != SamplingDefaults::default()).then(|| changed.join(", "))
    }

    /// The settings of a run started now over `model`.
    pub fn run_config(&self, model: ModelSource) -> ParallelConfig {
        let mut config = self.parallel.clone();
        config.model = model;
        config.prompts = (0..config.sessions).map(|index| config.prompt(index).to_owned()).collect();
        config.temperatures = self.ladder.then(|| temperature_ladder(config.temperature, config.sessions));
        config
    }

    /// Gives session `index` a prompt of its own; the other sessions keep theirs.
    pub fn set_prompt(&mut self, index: u32, prompt: String) {
        let parallel = &mut self.parallel;
        let count = parallel.sessions.max(index + 1).max(parallel.prompts.len() as u32);
        let mut prompts: Vec<String> = (0..count).map(|each| parallel.prompt(each).to_owned()).collect();
        if let Some(place) = prompts.get_mut(index as usize) {
            *place = prompt;
        }
        parallel.prompts = prompts;
    }

    /// The temperature that session `index` of the next run gets.
    pub fn temperature_of(&self, index: u32) -> f32 {
        let parallel = &self.parallel;
        let ladder = if self.ladder { temperature_ladder(parallel.temperature, parallel.sessions) } else { Vec::new() };
        ladder.get(index as usize).copied().unwrap_or(parallel.temperature)
    }

    /// The execution to offer, given what the loaded model can do.
    pub fn executions(can_run_exactly: bool) -> impl Iterator<Item = Execution> {
        Execution::ALL.into_iter().filter(move |execution| can_run_exactly || *execution != Execution::Exact)
    }
}

/// `sessions` temperatures in even steps from 0 to `top`; a single session gets `top`.
pub fn temperature_ladder(top: f32, sessions: u32) -> Vec<f32> {
    if sessions < 2 {
        return vec![top; sessions as usize];
    }
    (0..sessions).map(|index| top * index as f32 / (sessions - 1) as f32).collect()
}
