//! Measures how far our logits are from Python mlx-lm's on the tiny models of tests/fixtures, as docs/models.md shows.
//!
//! `cargo run --example parity`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;

#[path = "../tests/model_fixtures.rs"]
mod model_fixtures;

struct Measured {
    fixtures: usize,
    largest: f32,
    equal_ids: bool,
    exact_widths: Vec<String>,
}

fn main() {
    let mut rows: BTreeMap<(String, &str), Measured> = BTreeMap::new();
    for (fixture, kernels) in model_fixtures::all().into_iter().flat_map(|fixture| {
        let fixture = std::rc::Rc::new(fixture);
        model_fixtures::KERNELS.map(|kernels| (std::rc::Rc::clone(&fixture), kernels))
    }) {
        let model = model_fixtures::load(&fixture.files, kernels);
        let row = rows.entry((model.facts().architecture.clone(), model.kernels())).or_insert_with(|| Measured {
            fixtures: 0,
            largest: 0.0,
            equal_ids: true,
            exact_widths: Vec::new(),
        });
        assert!(!fixture.cases.is_empty(), "{} expects nothing", fixture.name);
        row.fixtures += 1;
        for case in &fixture.cases {
            for chunk in [usize::MAX, 7, 1] {
                let (difference, ids) = model_fixtures::compare(&model, case, chunk);
                row.largest = row.largest.max(difference);
                row.equal_ids &= ids == case.greedy_ids;
            }
        }
        let width = model.facts().exact_width.as_ref().map_or_else(|why| format!("no: {why}"), u32::to_string);
        if !row.exact_widths.contains(&width) {
            row.exact_widths.push(width);
        }
    }
    println!(
        "| architecture | computed by | fixtures | largest logit difference | greedy ids equal | exact: cohort width |"
    );
    println!("|---|---|---|---|---|---|");
    for ((architecture, kernels), row) in rows {
        let equal = if row.equal_ids { "yes" } else { "no" };
        let widths = row.exact_widths.join(", ");
        println!("| {architecture} | {kernels} | {} | {:.1e} | {equal} | {widths} |", row.fixtures, row.largest);
    }
}
