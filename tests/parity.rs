//! Our models compute what Python mlx-lm computes: logits within 1e-3 in f32, and the same greedy ids.

use crate::model_fixtures::{Case, Fixture, KERNELS, all, compare, load};
use llmeval::engine::Backend;
use llmeval::model::{MlxBackend, Row, supported_architectures};
use llmeval::protocol::{Execution, Sampling, SessionId, SessionRequest};

const TOLERANCE: f32 = 1e-3;

/// The tiny model, served by each set of kernels in turn.
fn models(fixture: &Fixture) -> impl Iterator<Item = MlxBackend> {
    KERNELS.into_iter().map(|kernels| load(&fixture.files, kernels))
}

fn logits_agree_when_read_in_chunks_of(chunk: usize) {
    for fixture in all() {
        for model in models(&fixture) {
            for (index, case) in fixture.cases.iter().enumerate() {
                let (difference, ids) = compare(&model, case, chunk);
                let what = format!("{} prompt {index} by {}", fixture.name, model.kernels());
                assert!(difference <= TOLERANCE, "{what}: logits differ by {difference}");
                assert_eq!(ids, case.greedy_ids, "{what}");
            }
        }
    }
}

#[test]
fn a_prompt_read_in_one_chunk_gives_the_logits_of_mlx_lm() {
    logits_agree_when_read_in_chunks_of(usize::MAX);
}

#[test]
fn a_prompt_read_in_several_chunks_gives_the_logits_of_mlx_lm() {
    logits_agree_when_read_in_chunks_of(7);
}

#[test]
fn a_prompt_read_token_by_token_gives_the_logits_of_mlx_lm() {
    logits_agree_when_read_in_chunks_of(1);
}

#[test]
fn sessions_of_other_lengths_that_join_and_leave_a_batch_get_the_ids_of_mlx_lm() {
    for fixture in all() {
        models(&fixture).for_each(|model| sessions_get_their_own_ids(model, &fixture, Execution::Batched));
    }
}

#[test]
fn sessions_that_take_turns_get_the_ids_of_mlx_lm() {
    for fixture in all() {
        models(&fixture).for_each(|model| sessions_get_their_own_ids(model, &fixture, Execution::Serialized));
    }
}

#[test]
fn sessions_in_exact_cohorts_get_the_ids_of_mlx_lm() {
    for fixture in all() {
        models(&fixture).for_each(|model| sessions_get_their_own_ids(model, &fixture, Execution::Exact));
    }
}

#[test]
fn prompts_that_are_read_together_get_the_ids_of_mlx_lm() {
    for (fixture, kernels) in all().iter().flat_map(|fixture| KERNELS.map(|kernels| (fixture, kernels))) {
        let mut model = load(&fixture.files, kernels);
        let mut rows: Vec<Row> =
            fixture.cases.iter().map(|case| model.open(&request(case), Execution::Batched).unwrap()).collect();
        for (row, limit) in rows.iter_mut().zip([3, 5]) {
            model.prefill(row, limit).unwrap();
        }
        loop {
            let unread = |row: &Row, case: &Case| model.prefilled(row) < case.prompt_ids.len() - 1;
            let some = rows.iter_mut().zip(&fixture.cases).filter(|(row, case)| unread(row, case));
            let mut some: Vec<(&mut Row, usize)> =
                some.map(|(row, _)| row).zip([7, 9, 11, 13].into_iter().cycle()).collect();
            if some.is_empty() {
                break;
            }
            model.prefill_together(&mut some).unwrap();
        }
        let steps = fixture.cases.iter().map(|case| case.greedy_ids.len()).min().unwrap();
        for step in 0..steps {
            let launched = model.launch(&mut rows.iter_mut().collect::<Vec<_>>(), Execution::Batched).unwrap();
            for (output, case) in model.read(launched).unwrap().iter().zip(&fixture.cases) {
                assert_eq!(output.token, case.greedy_ids[step], "{} step {step}", fixture.name);
            }
        }
    }
}

#[test]
fn a_session_much_longer_than_the_others_that_comes_and_goes_changes_none_of_their_ids() {
    for (fixture, kernels) in all().iter().flat_map(|fixture| KERNELS.map(|kernels| (fixture, kernels))) {
        let mut model = load(&fixture.files, kernels);
        let prefilled = |model: &mut MlxBackend, case| prefilled(model, case, Execution::Batched);
        let mut rows: Vec<Row> = fixture.cases.iter().map(|case| prefilled(&mut model, case)).collect();
        let long = fixture.cases[0].prompt_ids.iter().copied().cycle().take(400).collect();
        let long = Case { prompt_ids: long, greedy_ids: fixture.cases[0].greedy_ids.clone(), logits: Vec::new() };
        let mut ids = vec![Vec::new(); rows.len()];
        for step in 0..fixture.cases.iter().map(|case| case.greedy_ids.len()).min().unwrap() {
            match step {
                3 => rows.push(prefilled(&mut model, &long)),
                8 => rows.truncate(fixture.cases.len()),
                _ => {}
            }
            let launched = model.launch(&mut rows.iter_mut().collect::<Vec<_>>(), Execution::Batched).unwrap();
            for (ids, output) in ids.iter_mut().zip(model.read(launched).unwrap()) {
                ids.push(output.token);
            }
        }
        for (case, ids) in fixture.cases.iter().zip(&ids) {
            assert_eq!(ids[..], case.greedy_ids[..ids.len()], "{}", fixture.name);
        }
    }
}

#[test]
fn every_architecture_has_a_dense_and_a_packed_tiny_model_and_a_row_in_docs_models() {
    let docs = include_str!("../docs/models.md");
    let fixtures = all();
    for architecture in supported_architectures() {
        assert!(docs.contains(&format!("\n| `{architecture}` |")), "docs/models.md has no row for {architecture}");
        let of_it = |fixture: &&Fixture| fixture.name.split('-').next() == Some(architecture);
        let packed = fixtures.iter().filter(of_it).filter(|fixture| fixture.name.contains("bit")).count();
        assert!(packed > 0, "no packed tiny model of {architecture}");
        assert!(fixtures.iter().filter(of_it).count() > packed, "no dense tiny model of {architecture}");
    }
}

/// One session a prompt: each joins five steps after the one before, and leaves with its last id.
fn sessions_get_their_own_ids(mut model: MlxBackend, fixture: &Fixture, execution: Execution) {
    let mut waiting = fixture.cases.iter().enumerate().rev().collect::<Vec<_>>();
    let mut running: Vec<(usize, Row, Vec<u32>)> = Vec::new();
    let mut step = 0;
    while !(waiting.is_empty() && running.is_empty()) {
        if step % 5 == 0
            && let Some((index, case)) = waiting.pop()
        {
            running.push((index, prefilled(&mut model, case, execution), Vec::new()));
        }
        let mut rows: Vec<&mut Row> = running.iter_mut().map(|(_, row, _)| row).collect();
        let launched = model.launch(&mut rows, execution).unwrap();
        for ((_, _, ids), output) in running.iter_mut().zip(model.read(launched).unwrap()) {
            ids.push(output.token);
        }
        running.retain(|(index, _, ids)| {
            let expected = &fixture.cases[*index].greedy_ids;
            assert_eq!(ids[..], expected[..ids.len()], "{} prompt {index}, {execution}", fixture.name);
            ids.len() < expected.len()
        });
        step += 1;
    }
}

fn prefilled(model: &mut MlxBackend, case: &Case, execution: Execution) -> Row {
    let mut row = model.open(&request(case), execution).unwrap();
    while model.prefill(&mut row, 9).unwrap() > 0 {}
    row
}

fn request(case: &Case) -> SessionRequest {
    SessionRequest {
        id: SessionId(0),
        prompt: case.prompt_ids.as_slice().into(),
        sampling: Sampling::greedy(),
        max_tokens: case.greedy_ids.len() as u32,
        end_of_sequence: [].into(),
        hash_logits: false,
    }
}
