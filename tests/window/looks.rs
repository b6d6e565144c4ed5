//! Whole windows look as they did when someone last looked at them: `UPDATE_SNAPSHOTS=1 cargo test window::looks`
//! takes the pictures in tests/snapshots anew. A few pixels may differ between machines.

use super::bench::starter_facts;
use egui_kittest::{Harness, SnapshotOptions};
use llmeval::protocol::{
    DeviceKind, EvaluationResult, FinishReason, MachineMemory, ModelFacts, ModelSource, ModelSummary, Origin,
    RunReport, Segment, SessionId, SessionUpdate, Timeline, UpdateKind,
};
use llmeval::state::{AppState, ModelState, RunState, View, presets};
use llmeval::ui::Contents;

const TEXT: &str = "In circuits deep, where data flows like streams,\nA model wakes and learns to weigh our dreams.\n\n\
    Each layer passes numbers to the next; what was wrong is changed a little, until it is wrong less often.";

pub fn ready() -> AppState {
    let summary = ModelSummary {
        source: ModelSource::Starter,
        name: "SmolLM2-135M-Instruct".into(),
        facts: ModelFacts { load_seconds: 0.8, ..starter_facts() },
        can_think: true,
        can_use_tools: true,
    };
    AppState {
        model: ModelState::Loaded(summary),
        machine: MachineMemory { total: 16_000_000_000, available: 12_000_000_000 },
        presets: presets().unwrap(),
        ..AppState::default()
    }
}

pub fn finished(sessions: u32) -> AppState {
    let mut state = ready();
    state.settings.view = View::Parallel;
    state.settings.parallel.sessions = sessions;
    let config = state.settings.run_config(ModelSource::Starter);
    let results: Vec<_> = (0..sessions).map(|index| result(&config, index)).collect();
    let report = RunReport {
        model: "SmolLM2-135M-Instruct".into(),
        parameters: Some(134_515_008),
        execution: config.execution,
        exact_width: None,
        packed_bits: None,
        device: Some(DeviceKind::Cpu),
        load_seconds: Some(0.8),
        total_tokens: results.iter().map(|result| u64::from(result.tokens)).sum(),
        average_tokens_per_second: 10.0,
        tokens_per_second: 50.0,
        sessions: results,
        wall_time_s: 9.0,
        peak_memory_bytes: Some(812_000_000),
        config,
    };
    state.run = Some(RunState::from_report(report));
    state
}

fn result(config: &llmeval::ParallelConfig, index: u32) -> EvaluationResult {
    let is_failed = index == 4;
    let last = 4.0 + f64::from(index % 5);
    EvaluationResult {
        id: SessionId(index),
        origin: Origin::local("SmolLM2-135M-Instruct"),
        prompt: config.prompt(index).to_owned(),
        prompt_tokens: Some(36),
        seed: u64::from(index) * 1000,
        temperature: config.temperature,
        text: if is_failed { String::new() } else { TEXT.into() },
        token_ids: Vec::new(),
        tokens: if is_failed { 0 } else { 40 + 10 * (index % 5) },
        time_to_first_token_ms: Some(500.0),
        duration_s: last,
        tokens_per_second: 10.0,
        finish_reason: if is_failed { FinishReason::Error } else { FinishReason::TokenLimit },
        error: is_failed.then(|| "The device ran out of memory. Choose fewer sessions.".into()),
        timeline: Timeline {
            submitted_s: 0.0,
            prefill_s: Some(0.1 * f64::from(index)),
            first_token_s: Some(0.5 + 0.1 * f64::from(index)),
            last_token_s: Some(last),
            ended_s: last,
        },
        replay: None,
    }
}

pub fn answered() -> AppState {
    let mut state = ready();
    state.single.start();
    let answer = "# Why the sky is blue\n\nAir **scatters** blue light more than red:\n\n- blue: 450 nm\n- red: 700 nm\n\n\
        ```rust\nfn sky() -> Colour { Colour::Blue }\n```\n";
    let tokens = |tokens| UpdateKind::Tokens { text: String::new(), tokens };
    let end = EvaluationResult {
        finish_reason: FinishReason::EndOfSequence,
        ..result(&state.settings.run_config(ModelSource::Starter), 0)
    };
    let updates = [
        (0.0, UpdateKind::Submitted { prompt_tokens: Some(42) }),
        (0.5, UpdateKind::Segment(Segment::Thinking { text: "Short or long?".into() })),
        (0.5, UpdateKind::Segment(Segment::Text { text: answer.into() })),
        (0.5, tokens(1)),
        (2.5, tokens(61)),
        (2.5, UpdateKind::Ended(Box::new(end))),
    ];
    for (at_s, kind) in updates {
        state.single.apply(SessionUpdate { id: SessionId(0), at_s, kind });
    }
    state
}

fn looks(name: &str, state: AppState, width: f32, height: f32, theme: egui::Theme) {
    let mut contents = Contents::default();
    let mut harness = Harness::builder()
        .with_size(egui::vec2(width, height))
        .with_theme(theme)
        .with_os(egui::os::OperatingSystem::Nix)
        .allow_missing_glyphs()
        .with_context_setup(llmeval::ui::install)
        .build_ui(move |ui| drop(contents.show(ui, &state)));
    harness.run_steps(4);
    let options = SnapshotOptions::new().threshold(2.0).max_failed_pixels(2000);
    harness.snapshot_options(name, &options);
}

#[test]
fn eight_finished_panels_in_the_dark() {
    looks("finished-dark", finished(8), 1280.0, 800.0, egui::Theme::Dark);
}

#[test]
fn thirty_two_panels_in_a_small_light_window() {
    looks("finished-small-light", finished(32), 900.0, 600.0, egui::Theme::Light);
}

#[test]
fn replays_in_the_dark_with_the_first_differing_token_marked() {
    use llmeval::protocol::Replay;
    let mut state = finished(6);
    let run = state.run.as_mut().unwrap();
    let start = TEXT.find("dreams").unwrap();
    let differs = Replay::Differs { position: 17, start, end: start + 6, alone: Some("nights".into()) };
    let failed = Replay::Failed { error: "the engine stopped unexpectedly".into() };
    for (id, replay) in [(0, Replay::Exact), (1, Replay::Exact), (2, differs), (3, failed)] {
        run.note_replay(SessionId(id), Some(replay));
    }
    looks("verified-dark", state, 1280.0, 800.0, egui::Theme::Dark);
}

#[test]
fn an_answer_in_markdown() {
    looks("answer-light", answered(), 1280.0, 800.0, egui::Theme::Light);
}
