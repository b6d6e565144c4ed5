//! The sweep over numbers of sessions: its charts, its table, its exports.

use super::bench::{Bench, Setting};
use crate::support::scripted::{Script, Trouble};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions};
use llmeval::protocol::{Execution, ScalingRow, SessionId};
use llmeval::state::{AppState, ScalingPhase, ScalingSettings, ScalingState, View, knee};
use llmeval::ui::Contents;
use std::time::Duration;

fn slow() -> Script {
    Script { step: Duration::from_millis(1), ..Script::default() }
}

/// The scaling view of a sweep over 1, 2 and 4 sessions.
fn open(setting: Setting) -> Bench {
    let mut bench = Bench::open(setting);
    bench.click("Scaling");
    bench.set("Up to sessions", 2.0);
    bench.set("Max tokens", 10.0);
    bench
}

fn sweep(bench: &mut Bench) {
    bench.click("Run the sweep");
    bench.wait("the sweep's end", |state| state.scaling.is_some() && !state.is_scaling());
}

#[test]
fn a_sweep_runs_each_execution_at_each_number_and_draws_both_charts() {
    let mut bench = open(Setting::script(slow()));
    sweep(&mut bench);
    let rows = &bench.state().scaling.as_ref().unwrap().rows;
    use Execution::{Batched, Serialized};
    let kinds: Vec<_> = rows.iter().map(|row| (row.execution, row.sessions)).collect();
    let expected = [(Serialized, 1), (Serialized, 2), (Serialized, 4), (Batched, 1), (Batched, 2), (Batched, 4)];
    assert_eq!(kinds, expected);
    assert!(rows.iter().all(|row| row.speed_up.is_some() && row.failed == 0));
    assert!(rows[5].speed_up.unwrap() > 1.5, "four rows cost as much as one: {:?}", rows[5]);
    assert!(bench.says("Throughput tokens/s: serialized"));
    assert!(bench.says("Speed-up over serialized: serialized 1.0 at 1"));
    assert!(bench.shows("Tokens/s") && bench.shows("First p95"));
    assert!(bench.says("6 runs of up to 10 tokens a session"));
}

#[test]
fn a_sweep_shows_how_far_it_is_and_is_stopped_by_its_button_with_its_rows_kept() {
    let mut bench = open(Setting::script(Script { step: Duration::from_millis(4), ..Script::default() }));
    bench.set("Max tokens", 40.0);
    bench.click("Run the sweep");
    assert!(bench.says("Run 1 of 6: serialized, 1 session"));
    assert!(bench.shows("Progress of the sweep"));
    assert!(bench.says("Measuring..."));
    assert!(!bench.is_enabled("Run Parallel Demo"), "a sweep has the engine to itself");
    bench.wait("a row", |state| state.scaling.as_ref().is_some_and(|sweep| !sweep.rows.is_empty()));
    bench.click("Stop the sweep");
    let sweep = bench.state().scaling.clone().unwrap();
    assert_eq!(sweep.phase, ScalingPhase::Stopped);
    assert!(!sweep.rows.is_empty() && sweep.rows.len() < 6);
    assert!(bench.says(&format!("Stopped after {} of 6 runs", sweep.rows.len())));
    assert!(bench.is_enabled("Run the sweep"));
    assert!(bench.is_enabled("Run Parallel Demo"));
}

#[test]
fn the_keyboard_starts_and_stops_a_sweep() {
    let mut bench = open(Setting::script(slow()));
    bench.set("Max tokens", 4000.0);
    bench.press(egui::Modifiers::COMMAND, egui::Key::Enter);
    assert!(bench.state().is_scaling());
    bench.press(egui::Modifiers::NONE, egui::Key::Escape);
    assert!(!bench.state().is_scaling());
}

#[test]
fn a_run_with_failed_sessions_is_no_point_of_a_curve_and_the_reason_is_said() {
    let script = Script { troubles: vec![(SessionId(3), Trouble::PrefillFails)], ..slow() };
    let mut bench = open(Setting::script(script));
    sweep(&mut bench);
    assert!(bench.says("the prompt of session 3 can't be read"));
    let sweep = bench.state().scaling.as_ref().unwrap();
    let counts: Vec<_> =
        sweep.curve(Execution::Batched, |row| Some(row.tokens_per_second)).iter().map(|point| point.0).collect();
    assert_eq!(counts, [1, 2]);
}

#[test]
fn exports_write_a_real_picture_and_the_rows() {
    let mut setting = Setting::script(slow());
    let folder = setting.path().to_owned();
    let (picture, rows) = (folder.join("scaling.png"), folder.join("scaling.csv"));
    setting.answers = vec![Some(picture.clone()), Some(rows.clone())];
    let mut bench = open(setting);
    assert!(!bench.shows("Export"), "nothing is there yet");
    sweep(&mut bench);
    for (format, file) in [("PNG…", &picture), ("CSV…", &rows)] {
        bench.click("Export");
        bench.click(format);
        bench.wait("the file", |state| !state.dialog_is_open && file.exists());
    }
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&picture).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (2400, 960));
    let colours: std::collections::HashSet<&[u8]> = pixels.chunks(4).collect();
    assert!(colours.len() > 50, "the picture is blank: {} colours", colours.len());
    assert!(pixels.chunks(4).all(|pixel| pixel[3] == 255));
    let text = std::fs::read_to_string(&rows).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("execution,sessions,tokens_per_second,"));
    assert!(lines[6].starts_with("batched,4,"));
    assert!(lines.iter().all(|line| line.split(',').count() == 9));
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let mut setting = Setting::script(slow());
    let folder = setting.path().join("not-a-folder");
    std::fs::write(&folder, "in the way").unwrap();
    setting.answers = vec![Some(folder.join("scaling.png"))];
    let mut bench = open(setting);
    sweep(&mut bench);
    bench.click("Export");
    bench.click("PNG…");
    bench.wait_until("the notice", |bench| bench.says("scaling.png can't be written"));
}

#[test]
fn nothing_starts_without_an_execution_or_with_more_than_fits() {
    let mut bench = open(Setting::default());
    bench.click("Run serialized");
    bench.click("Run batched");
    assert!(!bench.is_enabled("Run the sweep"));
    assert!(bench.says("Choose at least one execution"));
    let mut setting = Setting::default();
    setting.facts.kv_bytes_per_token = 1 << 40;
    let mut bench = open(setting);
    bench.wait("the machine's memory", |state| state.machine.total > 0);
    assert!(!bench.is_enabled("Run the sweep"));
    assert!(bench.says("This run needs"));
}

#[test]
fn a_model_that_cannot_run_exactly_has_no_exact_sweep() {
    let mut setting = Setting::default();
    setting.facts.exact_width = Err("its experts mix the rows".into());
    let bench = open(setting);
    assert!(!bench.is_enabled("Run exact"));
    let bench = open(Setting::default());
    assert!(bench.is_enabled("Run exact"));
}

#[test]
fn the_sweeps_settings_outlive_the_window() {
    let mut bench = open(Setting::default());
    bench.click("Run exact");
    let bench = bench.reopen();
    assert_eq!(bench.state().settings.view, View::Scaling);
    let expected = ScalingSettings { exact: true, most_log2: 2, max_tokens: 10, ..ScalingSettings::default() };
    assert_eq!(bench.state().settings.scaling, expected);
}

#[test]
fn the_knee_is_where_more_sessions_begin_to_give_less() {
    let bends = [(1, 20.0), (2, 40.0), (4, 78.0), (8, 150.0), (16, 160.0), (32, 165.0)];
    assert_eq!(knee(&bends), Some(3));
    let straight = [(1, 20.0), (2, 40.0), (4, 80.0), (8, 160.0)];
    assert_eq!(knee(&straight), None);
    let flat = [(1, 20.0), (2, 21.0), (4, 20.5), (8, 20.0)];
    assert_eq!(knee(&flat), None);
    let falls = [(1, 20.0), (2, 60.0), (4, 100.0), (8, 70.0)];
    assert_eq!(knee(&falls), Some(2));
    assert_eq!(knee(&bends[..2]), None);
    assert_eq!(knee(&[]), None);
}

/// A sweep whose batched throughput bends at 8 sessions.
fn bending() -> ScalingState {
    let mut sweep = ScalingState::start("SmolLM2-135M-Instruct on cpu".into(), ScalingSettings::default());
    sweep.phase = ScalingPhase::Ended;
    let serialized = [20.0, 20.4, 20.1, 19.8, 19.9, 20.2];
    let batched = [20.0, 40.0, 78.0, 150.0, 160.0, 165.0];
    for (execution, curve) in [(Execution::Serialized, serialized), (Execution::Batched, batched)] {
        for (exponent, tokens_per_second) in curve.into_iter().enumerate() {
            let sessions = 1_u32 << exponent;
            sweep.rows.push(ScalingRow {
                execution,
                sessions,
                tokens_per_second,
                tokens_per_second_per_session: tokens_per_second / f64::from(sessions),
                time_to_first_token_p50_ms: 90.0 * f64::from(sessions),
                time_to_first_token_p95_ms: 110.0 * f64::from(sessions),
                peak_memory_bytes: Some(560_000_000 + 9_000_000 * u64::from(sessions)),
                speed_up: Some(tokens_per_second / serialized[exponent]),
                failed: 0,
                error: None,
            });
        }
    }
    sweep
}

#[test]
fn the_knee_is_marked_in_the_throughputs_chart() {
    let mut state = AppState { scaling: Some(bending()), ..AppState::default() };
    state.settings.view = View::Scaling;
    let mut contents = Contents::default();
    let mut harness = Harness::builder()
        .with_size(egui::vec2(1280.0, 800.0))
        .with_theme(egui::Theme::Light)
        .with_os(egui::os::OperatingSystem::Nix)
        .allow_missing_glyphs()
        .with_context_setup(llmeval::ui::install)
        .build_ui(move |ui| drop(contents.show(ui, &state)));
    harness.run_steps(4);
    harness.get_by_label_contains("batched bends at 8");
    assert!(harness.query_by_label_contains("serialized bends").is_none());
    harness.snapshot_options("scaling-light", &SnapshotOptions::new().threshold(2.0).max_failed_pixels(2000));
}
