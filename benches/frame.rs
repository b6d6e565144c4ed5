//! How long it takes to build one frame while 32 panels of 2,000 tokens stream: `cargo bench --bench frame`.

use egui::{Context, RawInput, Rect, pos2, vec2};
use llmeval::protocol::{DeviceKind, ModelFacts, ModelSource, ModelSummary, SessionId, SessionUpdate, UpdateKind};
use llmeval::state::{AppState, ModelState, RunState, Settings, View};
use llmeval::ui::Contents;
use std::io::Write;
use std::time::{Duration, Instant};

const SESSIONS: u32 = 32;
const TOKENS: u32 = 2000;
const FRAMES: u32 = 300;
/// The first frames lay the texts out for the first time.
const WARM_UP: usize = 10;
const WORDS: [&str; 8] = ["The ", "model ", "reads ", "what ", "many ", "hands ", "have ", "written.\n"];

fn main() -> std::io::Result<()> {
    for (width, height) in [(1280.0, 800.0), (2560.0, 1440.0)] {
        let mut frames = measure(width, height);
        frames.sort();
        let at = |share: usize| frames[frames.len() * share / 100].as_secs_f64() * 1000.0;
        writeln!(
            std::io::stdout(),
            "{SESSIONS} panels of {TOKENS} tokens, all streaming, {width} x {height}: median {:.2} ms, p95 {:.2} ms a frame",
            at(50),
            at(95)
        )?;
    }
    Ok(())
}

/// Builds frames, a token for each session between two of them, and times each: layout, drawing and tessellation.
fn measure(width: f32, height: f32) -> Vec<Duration> {
    let context = Context::default();
    llmeval::ui::install(&context);
    let mut contents = Contents::default();
    let mut state = streaming();
    let mut times = Vec::new();
    for frame in 0..FRAMES {
        let at_s = 60.0 + f64::from(frame) / 30.0;
        if let Some(run) = &mut state.run {
            for session in 0..SESSIONS {
                run.apply(token(session, TOKENS + frame, at_s));
            }
            run.tick(at_s, None);
        }
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(pos2(0.0, 0.0), vec2(width, height))),
            time: Some(at_s),
            ..RawInput::default()
        };
        let begin = Instant::now();
        let output = context.run_ui(input, |ui| drop(contents.show(ui, &state)));
        let shapes = context.tessellate(output.shapes, output.pixels_per_point);
        times.push(begin.elapsed());
        assert!(!shapes.is_empty());
    }
    times.split_off(WARM_UP)
}

fn streaming() -> AppState {
    let mut settings = Settings { view: View::Parallel, ..Settings::default() };
    settings.parallel.sessions = SESSIONS;
    settings.parallel.max_tokens = 2 * TOKENS;
    let mut run = RunState::start(settings.run_config(ModelSource::Starter), "starter".into());
    for session in 0..SESSIONS {
        for number in 1..=TOKENS {
            run.apply(token(session, number, f64::from(number) * 0.03));
        }
    }
    AppState { settings, model: ModelState::Loaded(summary()), run: Some(run), ..AppState::default() }
}

fn token(session: u32, number: u32, at_s: f64) -> SessionUpdate {
    let text = WORDS[(number + session) as usize % WORDS.len()].to_owned();
    SessionUpdate { id: SessionId(session), at_s, kind: UpdateKind::Tokens { text, tokens: number } }
}

fn summary() -> ModelSummary {
    ModelSummary {
        source: ModelSource::Starter,
        name: "starter".into(),
        facts: ModelFacts {
            architecture: "llama".into(),
            parameters: 134_515_008,
            weight_bytes: 538_060_032,
            kv_bytes_per_token: 46_080,
            context_length: 8192,
            device: DeviceKind::Cpu,
            load_seconds: 1.0,
            exact_width: Ok(8),
            packed_bits: None,
        },
        can_think: true,
        can_use_tools: true,
    }
}
