//! The markers by which a model family sets thoughts and tool calls apart from words.

/// The markers that one model uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) thinking: Vec<Section>,
    pub(super) calls: Vec<Section>,
    pub(super) silent: Vec<&'static str>,
    pub(super) has_bare_calls: bool,
}

/// A stretch of an answer between two markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) open: &'static str,
    /// None where the stretch goes on to the end of the answer or to the next marker.
    pub(super) close: Option<&'static str>,
}

const fn section(open: &'static str, close: &'static str) -> Section {
    Section { open, close: Some(close) }
}

const THINKING: [Section; 4] = [
    // Qwen3, DeepSeek-R1 and its distillates, SmolLM3, Granite 3.3
    section("<think>", "</think>"),
    // Magistral, Ministral 3
    section("[THINK]", "[/THINK]"),
    // Gemma 4
    section("<|channel>thought\n", "<channel|>"),
    // Granite 3.2
    section("Here is my thought process:", "Here is my response:"),
];

const CALLS: [Section; 9] = [
    // Hermes, Qwen, SmolLM, Granite 4
    section("<tool_call>", "</tool_call>"),
    // Llama 3.1 with functions of one's own
    section("<function=", "</function>"),
    // Llama 3
    Section { open: PYTHON_TAG, close: None },
    // Mistral
    Section { open: "[TOOL_CALLS]", close: None },
    // Phi-4-mini; Granite 3 leaves the end out
    section("<|tool_call|>", "<|/tool_call|>"),
    // FunctionGemma
    section("<start_function_call>", "<end_function_call>"),
    // Gemma 4
    section("<|tool_call>", "<tool_call|>"),
    // LFM2
    section("<|tool_call_start|>", "<|tool_call_end|>"),
    // Command R
    section("<|START_ACTION|>", "<|END_ACTION|>"),
];

/// Granite 3.3 puts its words between these.
const SILENT: [&str; 2] = ["<response>", "</response>"];

/// Only Llama 3 has it; such models also call a tool by an answer that is nothing but JSON.
const PYTHON_TAG: &str = "<|python_tag|>";

impl Dialect {
    /// The known markers that stand in a model's chat template or are tokens of their own (`is_token`).
    pub(super) fn detect(templates: &[(String, String)], is_token: impl Fn(&str) -> bool) -> Self {
        let is_used = |marker: &str| {
            is_token(marker) || templates.iter().any(|(_, source)| source.replace("\\n", "\n").contains(marker))
        };
        let used = |sections: &[Section]| sections.iter().copied().filter(|section| is_used(section.open)).collect();
        Self {
            thinking: used(&THINKING),
            calls: used(&CALLS),
            silent: SILENT.into_iter().filter(|marker| is_used(marker)).collect(),
            has_bare_calls: is_used(PYTHON_TAG),
        }
    }

    /// Whether `token` is one of the markers, which must stay in the text to be found there.
    pub(super) fn is_marker(&self, token: &str) -> bool {
        let sections = self.thinking.iter().chain(&self.calls);
        sections.into_iter().any(|section| section.open.trim_end() == token || section.close == Some(token))
    }

    /// The thinking section that `prompt` leaves open: some templates begin the model's turn inside of one.
    pub(super) fn open_thinking(&self, prompt: &str) -> Option<Section> {
        let prompt = prompt.trim_end();
        self.thinking.iter().copied().find(|section| prompt.ends_with(section.open.trim_end()))
    }
}
