//! The scheduling policy, on plain data.

use llmeval::engine::scheduler::{Flight, Group, Pass, Piece, SessionView, Stage, Turn, free_rows, plan};
use llmeval::engine::{Budget, EngineSettings, Pace, PromptRules, common_beginning};
use llmeval::protocol::Execution;
use std::time::Duration;

use Execution::{Batched, Exact, Serialized};
use Stage::{Ended, Leaving, Prefill, Waiting};

/// The policy over random sessions on a random device.
mod random;

/// In its first step yet, or in one of many.
const NEW: Stage = Stage::Decode { has_stepped: false, may_step: true, has_waited: false };
const STREAM: Stage = Stage::Decode { has_stepped: true, may_step: true, has_waited: false };
const HAS_WAITED: Stage = Stage::Decode { has_stepped: false, may_step: true, has_waited: true };
/// Its last token is on the device.
const LAST: Stage = Stage::Decode { has_stepped: true, may_step: false, has_waited: false };

const FREELY: PromptRules = PromptRules { cut: 1, stops_at_cut: false, together: true };
const ALONE: PromptRules = PromptRules { together: false, ..FREELY };

const ON_THE_GROUND: Flight = Flight { in_flight: false, looks_ahead: true };
const IN_FLIGHT: Flight = Flight { in_flight: true, looks_ahead: true };

/// A session of the table, with a prompt of 40 tokens of its own.
#[derive(Clone)]
struct Row {
    stage: Stage,
    execution: Execution,
    prompt: Vec<u32>,
    held: usize,
    rules: PromptRules,
}

fn row(id: u32, stage: Stage) -> Row {
    Row { stage, execution: Batched, prompt: prompt(id, 40), held: 0, rules: FREELY }
}

fn rows(stages: &[Stage]) -> Vec<Row> {
    (0..).zip(stages).map(|(id, stage)| row(id, *stage)).collect()
}

fn prompt(id: u32, length: u32) -> Vec<u32> {
    (0..length).map(|place| id * 100_000 + place).collect()
}

fn views(rows: &[Row]) -> Vec<SessionView<'_>> {
    let views = rows.iter().map(|row| {
        let Row { stage, execution, prompt, held, rules } = row;
        SessionView { stage: *stage, execution: *execution, prompt, held: *held, rules: *rules }
    });
    views.collect()
}

/// What is to be done with `rows` where nothing is in flight and nothing was read since the last step.
fn turn(rows: &[Row], settings: &EngineSettings) -> Turn {
    plan(&views(rows), settings, &Pace::default(), ON_THE_GROUND)
}

fn pass(rows: &[Row], settings: &EngineSettings) -> Pass {
    match turn(rows, settings) {
        Turn::Read(pass) => pass,
        other => panic!("{other:?}"),
    }
}

fn read(rows: &[Row]) -> Vec<(usize, usize)> {
    pieces(&pass(rows, &EngineSettings::default()))
}

fn pieces(pass: &Pass) -> Vec<(usize, usize)> {
    pass.pieces.iter().map(|Piece { session, tokens }| (*session, *tokens)).collect()
}

fn step(groups: &[(Execution, &[usize])], wait: &[usize]) -> Turn {
    let groups =
        groups.iter().map(|(execution, sessions)| Group { execution: *execution, sessions: sessions.to_vec() });
    Turn::Step { groups: groups.collect(), wait: wait.to_vec() }
}

#[test]
fn a_prompt_that_has_been_begun_is_read_to_its_end_first() {
    let mut rows = rows(&[STREAM, Prefill, Waiting]);
    rows[1].held = 30;
    rows[2].rules = ALONE;
    assert_eq!(read(&rows), [(1, 10)]);
}

#[test]
fn prompts_are_read_in_order_of_arrival_as_many_as_fit() {
    let settings = EngineSettings { max_chunk: 100, ..EngineSettings::default() };
    let found = pass(&rows(&[Ended, Waiting, Waiting, Waiting, Waiting]), &settings);
    assert_eq!(found.open, [1, 2, 3]);
    assert_eq!(pieces(&found), [(1, 40), (2, 40), (3, 20)]);
    assert_eq!(found.budget, Budget::Opening { left: 100 });
}

#[test]
fn nobody_leaves_the_queue_while_all_places_are_taken() {
    let settings = EngineSettings { max_running: 2, ..EngineSettings::default() };
    assert_eq!(turn(&rows(&[STREAM, STREAM, Waiting]), &settings), step(&[(Batched, &[0, 1])], &[]));
    assert_eq!(pass(&rows(&[STREAM, Ended, Waiting]), &settings).open, [2], "one that has ended has left its place");
    let leaving = turn(&rows(&[STREAM, Leaving, Waiting]), &settings);
    assert_eq!(leaving, step(&[(Batched, &[0])], &[]), "one that is about to leave still holds its row");
    let goes_on = pass(&rows(&[STREAM, Prefill, Waiting]), &settings);
    assert_eq!(
        (goes_on.open.as_slice(), pieces(&goes_on)),
        (&[][..], vec![(1, 32 / 2)]),
        "one that holds a place goes on"
    );
    assert_eq!(free_rows([STREAM, Prefill, Leaving, Waiting, Ended].into_iter(), &EngineSettings::default()), 29);
    let nobody = EngineSettings { max_running: 0, ..EngineSettings::default() };
    assert_eq!(pass(&rows(&[Waiting, Waiting]), &nobody).open, [0], "one session runs at least");
}

#[test]
fn only_prompts_of_one_execution_that_can_be_read_at_once_are() {
    let mut mixed = rows(&[Waiting, Waiting, Waiting]);
    mixed[1].execution = Exact;
    assert_eq!(read(&mixed), [(0, 40)], "nobody overtakes the exact one either");
    let mut alone = rows(&[Waiting, Waiting]);
    alone.iter_mut().for_each(|row| (row.execution, row.rules) = (Serialized, ALONE));
    assert_eq!(read(&alone), [(0, 40)]);
}

#[test]
fn a_prompt_waits_for_another_one_where_that_saves_much_of_it_and_else_is_read_beside_it() {
    let sharing = |shared: u32, other_held: usize, held: usize| {
        let mut two = rows(&[Prefill, Waiting]);
        two[0].held = other_held;
        two[1].held = held;
        two[1].prompt[..shared as usize].copy_from_slice(&prompt(0, shared));
        read(&two).len() == 1
    };
    assert!(sharing(40, 0, 0), "a prompt that is the same waits");
    assert!(sharing(20, 0, 0));
    assert!(!sharing(15, 0, 0), "too little is gained");
    assert!(!sharing(19, 0, 0), "less is gained than half of what the other one has to read");
    assert!(sharing(19, 2, 0));
    assert!(!sharing(30, 0, 15), "what is known already is no gain");
    let mut begun = rows(&[Prefill, Prefill]);
    begun[1].prompt = begun[0].prompt.clone();
    assert_eq!(read(&begun).len(), 2, "one that has begun doesn't wait");
}

#[test]
fn nobody_overtakes_a_prompt_that_waits_for_another_one() {
    let mut three = rows(&[Waiting, Waiting, Waiting]);
    three[1].prompt = three[0].prompt.clone();
    assert_eq!(read(&three), [(0, 40)]);
}

#[test]
fn sessions_whose_whole_prompts_are_known_get_their_rows_at_once_and_read_nothing() {
    let mut many = rows(&[Waiting; 5]);
    many[..4].iter_mut().for_each(|row| (row.held, row.rules) = (40, ALONE));
    many[4].rules = ALONE;
    let found = pass(&many, &EngineSettings::default());
    assert_eq!((found.open.as_slice(), pieces(&found)), (&[0, 1, 2, 3, 4][..], vec![(4, 40)]));
    let of_one_token = Row { prompt: Vec::new(), ..row(0, Waiting) };
    let found = pass(&[of_one_token], &EngineSettings::default());
    assert_eq!((found.open.as_slice(), pieces(&found)), (&[0][..], Vec::new()));
}

#[test]
fn a_pass_ends_where_its_execution_is_cut() {
    let alone = PromptRules { cut: 128, stops_at_cut: true, together: false };
    assert_eq!(alone.pass(0, 1000, 16), 128, "however little it may read");
    assert_eq!(alone.pass(0, 1000, 500), 128, "however much");
    assert_eq!(alone.pass(200, 1000, 500), 56);
    assert_eq!(alone.pass(950, 1000, 1), 50);
    let in_blocks = PromptRules { cut: 24, stops_at_cut: false, together: true };
    assert_eq!(in_blocks.pass(0, 1000, 16), 24);
    assert_eq!(in_blocks.pass(0, 1000, 100), 96);
    assert_eq!(in_blocks.pass(30, 1000, 100), 18 + 72);
    assert_eq!(in_blocks.pass(30, 100, 100), 70);
    assert_eq!(FREELY.pass(30, 100, 7), 7);
    assert_eq!(FREELY.pass(100, 100, 7), 0);
    assert_eq!(common_beginning(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 6], 3), 3);
    assert_eq!(common_beginning(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5], 3), 5, "the very same may be shared whole");
}

#[test]
fn a_prompt_whose_next_cut_lies_beyond_the_budget_is_read_alone_or_later() {
    let settings = EngineSettings { max_chunk: 60, ..EngineSettings::default() };
    let mut two = rows(&[Waiting, Waiting]);
    two.iter_mut().for_each(|row| (row.execution, row.rules) = (Exact, PromptRules { cut: 24, ..FREELY }));
    two[1].prompt = prompt(1, 200);
    let found = pass(&two, &settings);
    assert_eq!((found.open.as_slice(), pieces(&found)), (&[0][..], vec![(0, 40)]), "24 tokens don't fit into 20");
}

#[test]
fn every_session_that_can_decode_steps_and_serialized_ones_take_turns() {
    let mut all = rows(&[STREAM, NEW, LAST, STREAM, STREAM, Leaving]);
    all[3].execution = Serialized;
    all[4].execution = Serialized;
    let groups = step(&[(Serialized, &[3]), (Serialized, &[4]), (Batched, &[0, 1])], &[]);
    assert_eq!(turn(&all, &EngineSettings::default()), groups);
}

#[test]
fn a_session_with_a_long_prompt_lets_one_step_of_the_others_pass_and_no_prompt_is_read_before_its_own() {
    let long = |stage| Row { prompt: prompt(1, 600), ..row(1, stage) };
    let settings = EngineSettings::default();
    assert_eq!(turn(&[row(0, STREAM), long(NEW)], &settings), step(&[(Batched, &[0])], &[1]));
    let then = [row(0, STREAM), long(HAS_WAITED), row(2, Waiting)];
    assert_eq!(turn(&then, &settings), step(&[(Batched, &[0, 1])], &[]));
    assert!(matches!(turn(&[row(0, STREAM), long(STREAM), row(2, Waiting)], &settings), Turn::Read(_)));
    assert_eq!(turn(&[row(0, NEW), long(NEW)], &settings), step(&[(Batched, &[0, 1])], &[]), "no stream is held up");
    assert_eq!(turn(&[row(0, LAST), long(NEW)], &settings), step(&[(Batched, &[1])], &[]), "nobody else steps");
}

#[test]
fn nothing_is_in_flight_while_prompts_are_read_and_steps_overlap_only_where_that_helps() {
    let settings = EngineSettings::default();
    let then = |rows: &[Row], flight| plan(&views(rows), &settings, &Pace::default(), flight);
    assert_eq!(then(&rows(&[STREAM, Waiting]), IN_FLIGHT), Turn::Land);
    assert_eq!(then(&rows(&[STREAM]), IN_FLIGHT), step(&[(Batched, &[0])], &[]));
    assert_eq!(then(&rows(&[STREAM]), Flight { looks_ahead: false, ..IN_FLIGHT }), Turn::Land);
    assert_eq!(then(&rows(&[STREAM]), Flight { looks_ahead: false, ..ON_THE_GROUND }), step(&[(Batched, &[0])], &[]));
    assert_eq!(then(&rows(&[LAST]), IN_FLIGHT), Turn::Land, "nobody steps any more");
    assert_eq!(then(&[], IN_FLIGHT), Turn::Land);
    assert_eq!(then(&rows(&[Ended, Leaving]), ON_THE_GROUND), Turn::Rest);
}

/// What the policy does with a stream and a long prompt, until the next step, on a device that needs `seconds` for each
/// token of the passes in turn.
fn chunk(pace: &mut Pace, settings: &EngineSettings, seconds: &[f64]) -> Vec<usize> {
    let joiner = Row { prompt: prompt(1, 100_000), ..row(1, Prefill) };
    let two = [row(0, STREAM), joiner];
    pace.has_stepped();
    let mut read = Vec::new();
    while let Turn::Read(pass) = plan(&views(&two), settings, pace, ON_THE_GROUND) {
        let (tokens, per_token) = (pass.pieces[0].tokens, seconds[read.len().min(seconds.len() - 1)]);
        pace.has_read(settings, pass.budget, tokens, Duration::from_secs_f64(per_token * tokens as f64));
        read.push(tokens);
    }
    read
}

fn within(max_stall_ms: u64) -> EngineSettings {
    EngineSettings { max_stall: Duration::from_millis(max_stall_ms), ..EngineSettings::default() }
}

#[test]
fn chunks_are_sized_by_the_measured_pace_so_that_streams_are_held_no_longer_than_the_stall_budget() {
    let (settings, mut pace) = (within(200), Pace::default());
    assert_eq!(
        chunk(&mut pace, &settings, &[0.01]),
        [16],
        "of 32, before anything is measured; its second half is not worth it"
    );
    for _ in 0..4 {
        assert_eq!(chunk(&mut pace, &settings, &[0.001]), [16], "what was slow a few passes ago may come again");
    }
    let faster: usize = chunk(&mut pace, &settings, &[0.001]).iter().sum();
    assert!((100..=200).contains(&faster), "a faster device reads more at once: {faster}");
    assert_eq!(
        chunk(&mut Pace::default(), &within(2000), &[1e-9]),
        [16, 16],
        "one that was never measured reads little"
    );
}

#[test]
fn a_device_that_became_slower_is_noticed_before_the_stall_budget_is_spent() {
    let (settings, mut pace) = (within(200), Pace::default());
    (0..4).for_each(|_| drop(chunk(&mut pace, &settings, &[0.001])));
    let whole: usize = chunk(&mut pace, &settings, &[0.001]).iter().sum();
    assert!((138..=140).contains(&whole), "at the pace expected all of it is read: {whole}");
    let partly = chunk(&mut pace.clone(), &settings, &[0.0015]);
    assert!(partly.len() == 2 && partly[1] < 35, "what was lost to something else is not spent again: {partly:?}");
    assert_eq!(chunk(&mut pace, &settings, &[0.002]), [70], "at half the pace nothing more fits");
}

#[test]
fn a_chunk_that_no_time_bounds_is_read_in_one_piece() {
    let (settings, mut pace) = (EngineSettings::default(), Pace::default());
    (0..4).for_each(|_| drop(chunk(&mut pace, &settings, &[1e-6])));
    assert_eq!(chunk(&mut pace, &settings, &[1e-6]), [512]);
}

#[test]
fn short_prompts_share_a_piece_and_what_they_leave_of_it_is_not_added_to_the_second_one() {
    let (settings, mut pace) = (within(200), Pace::default());
    (0..4).for_each(|_| drop(chunk(&mut pace, &settings, &[0.001])));
    pace.has_stepped();
    let mut three = rows(&[STREAM, Waiting, Waiting, Waiting]);
    three.iter_mut().for_each(|row| row.rules = ALONE);
    let mut read = Vec::new();
    while let Turn::Read(pass) = plan(&views(&three), &settings, &pace, ON_THE_GROUND) {
        let Piece { session, tokens } = pass.pieces[0];
        pace.has_read(&settings, pass.budget, tokens, Duration::from_millis(tokens as u64));
        three[session].held += tokens;
        three[session].stage = if three[session].held == 40 { NEW } else { Prefill };
        read.push(tokens);
    }
    assert_eq!(read, [40, 30, 10, 40], "70 tokens and 70 tokens, of prompts of 40");
}

#[test]
fn where_no_stream_runs_only_the_largest_chunk_bounds_prefill() {
    let settings = EngineSettings { max_chunk: 300, ..EngineSettings::default() };
    let mut pace = Pace::default();
    chunk(&mut pace, &settings, &[1.0]);
    pace.has_stepped();
    let alone = [Row { prompt: prompt(0, 1000), ..row(0, Prefill) }];
    for _ in 0..3 {
        let Turn::Read(pass) = plan(&views(&alone), &settings, &pace, ON_THE_GROUND) else { panic!("nothing is read") };
        assert_eq!(pieces(&pass), [(0, 300)]);
        pace.has_read(&settings, pass.budget, 300, Duration::from_secs(300));
    }
}

#[test]
fn the_first_step_waits_for_one_largest_chunk_of_those_that_come_meanwhile() {
    let settings = EngineSettings { max_chunk: 100, ..EngineSettings::default() };
    let mut pace = Pace::default();
    let mut sessions = vec![row(0, Waiting)];
    let mut opened = 0;
    // Whenever a prompt is read, another session comes.
    while let Turn::Read(pass) = plan(&views(&sessions), &settings, &pace, ON_THE_GROUND) {
        opened += pass.open.len();
        for Piece { session, tokens } in &pass.pieces {
            let row = &mut sessions[*session];
            row.held += tokens;
            row.stage = if row.held == 40 { NEW } else { Prefill };
            pace.has_read(&settings, pass.budget, *tokens, Duration::from_secs(1));
        }
        sessions.push(row(sessions.len() as u32, Waiting));
    }
    assert_eq!(opened, 3, "40, 40 and 20 tokens");
    assert_eq!(plan(&views(&sessions), &settings, &pace, ON_THE_GROUND), step(&[(Batched, &[0, 1])], &[]));
    pace.has_stepped();
    sessions[..2].iter_mut().for_each(|row| row.stage = STREAM);
    let Turn::Read(pass) = plan(&views(&sessions), &settings, &pace, ON_THE_GROUND) else { panic!("nothing is read") };
    assert!(matches!(pass.budget, Budget::FirstPiece { .. }), "streams run now");
}

#[test]
fn a_chunk_always_reads_something() {
    let settings = EngineSettings { max_stall: Duration::ZERO, max_chunk: 0, ..EngineSettings::default() };
    assert_eq!(chunk(&mut Pace::default(), &settings, &[1.0]), [1]);
}

#[test]
fn a_budget_below_one_pass_over_the_weights_does_not_shrink_chunks_to_single_tokens() {
    let (settings, mut pace) = (within(20), Pace::default());
    for _ in 0..10 {
        pace.has_stepped();
        let budget = pace.budget(&settings, true);
        assert!(budget.left() >= 16, "{budget:?}");
        // However few tokens it has, a pass takes 80 ms.
        pace.has_read(&settings, budget, budget.left(), Duration::from_millis(80));
        assert_eq!(pace.budget(&settings, true).left(), 0, "its time is up");
    }
}
