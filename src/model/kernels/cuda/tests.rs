//! What the kernels promise, against MLX's own operations in f32. They need an NVIDIA GPU:
//! `cargo test --lib cuda -- --ignored --test-threads=1`.

#![allow(clippy::unwrap_used)]

use super::super::around::{Around, Norm, Then};
use super::super::heads::{HeadNorms, Heads};
use super::super::matrix::Matrix;
use super::super::operations::Kernels;
use super::super::pass::{AttentionSettings, Company, Part, Rows, Tokens};
use super::super::rotation::{Angles, Positions, Rotation};
use super::super::store::{KvShape, KvStore};
use super::attend::Span;
use super::heads::HeadsPlan;
use super::newest::{Clock, NewestPlan};
use super::nvidia::Nvidia;
use crate::model::ops::Activation;
use crate::model::quantization::Quantization;
use mlx_rs::fast::{rms_norm, rope_dynamic};
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, dequantize, quantize, sigmoid, softmax_axis};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype, random};

const TYPES: [(Dtype, f32); 2] = [(Dtype::Bfloat16, 1e-2), (Dtype::Float16, 2e-3)];

fn noise(shape: &[i32], seed: u64, dtype: Dtype) -> Array {
    let uniform = random::uniform::<_, f32>(-1.0, 1.0, shape, &random::key(seed).unwrap()).unwrap();
    uniform.as_dtype(dtype).unwrap()
}

fn in_f32(array: &Array) -> Array {
    array.as_dtype(Dtype::Float32).unwrap()
}

/// ‖out − expected‖ / ‖expected‖.
fn distance(out: &Array, expected: &Array) -> f32 {
    let norm = |array: &Array| array.square().unwrap().sum(None).unwrap().item_exact::<f32>().sqrt();
    norm(&in_f32(out).subtract(in_f32(expected)).unwrap()) / norm(&in_f32(expected))
}

fn row(array: &Array, row: i32) -> Array {
    array.try_index(row..row + 1).unwrap()
}

fn kernels() -> Nvidia {
    Nvidia::new().unwrap()
}

/// A random matrix as it is and packed in several ways, each with the numbers that it stands for, in f32.
fn matrices(outputs: i32, inputs: i32, dtype: Dtype) -> Vec<(Matrix, Array)> {
    let weight = noise(&[outputs, inputs], 2, dtype);
    let mut matrices = vec![(Matrix::dense(&weight).unwrap(), in_f32(&weight))];
    for (bits, group_size) in [(4, 32), (4, 64), (8, 32), (8, 64)] {
        let (packed, scales, biases) = quantize(&weight, group_size, bits).unwrap();
        let unpacked = dequantize(&packed, &scales, &biases, group_size, bits).unwrap();
        let quantization = Quantization::new(bits, group_size).unwrap();
        matrices.push((Matrix::packed(packed, scales, biases, quantization), in_f32(&unpacked)));
    }
    matrices
}

fn silu(x: &Array) -> Array {
    x.multiply(sigmoid(x).unwrap()).unwrap()
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn few_rows_have_the_matrix_products_of_f32_with_all_that_stands_around_them() {
    let kernels = kernels();
    for (dtype, tolerance) in TYPES {
        for (rows, inputs, outputs) in [(1, 64, 16), (2, 64, 16), (7, 1024, 1008), (33, 192, 48), (64, 2048, 144)] {
            let x = noise(&[rows, inputs], 1, dtype);
            let (weight, added) = (noise(&[inputs], 3, dtype), noise(&[rows, outputs], 4, dtype));
            let norm = Some(Norm { weight: &weight, eps: 1e-6 });
            let normed = rms_norm(in_f32(&x), Some(&in_f32(&weight)), 1e-6).unwrap();
            for (kind, (matrix, numbers)) in matrices(outputs, inputs, dtype).iter().enumerate() {
                let check = |asked: &str, around: Around<'_>, expected: Array| {
                    let out = kernels.products.product(&x, matrix, around).unwrap().unwrap();
                    let out = distance(&out, &expected);
                    assert!(out < tolerance, "{rows} rows of {inputs}, matrix {kind}, {asked}: {out}");
                };
                let (plain, normed) = (in_f32(&x).matmul(numbers.t()).unwrap(), normed.matmul(numbers.t()).unwrap());
                check("nothing", Around::default(), plain.clone());
                check("norm", Around { norm, ..Around::default() }, normed.clone());
                check(
                    "added",
                    Around { then: Then::Add(&added), ..Around::default() },
                    plain.add(in_f32(&added)).unwrap(),
                );
                let halves = normed.split_at_indices(&[outputs / 2], 1).unwrap();
                let gated = Around { norm, then: Then::Gate(Activation::Silu), ..Around::default() };
                check("gate", gated, silu(&halves[0]).multiply(&halves[1]).unwrap());
            }
        }
        for (matrix, numbers) in matrices(40, 1024, dtype) {
            let ids = Array::from_slice(&[7_u32, 0, 39], &[3]);
            let expected = numbers.take_axis(&ids, 0).unwrap();
            assert!(distance(&kernels.rows_of(&matrix, &ids).unwrap(), &expected) < tolerance);
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_row_has_the_same_product_in_any_place_beside_any_others_and_every_time() {
    let (kernels, rows, weight) =
        (kernels(), noise(&[64, 2048], 1, Dtype::Bfloat16), noise(&[2048], 3, Dtype::Bfloat16));
    let norm = Some(Norm { weight: &weight, eps: 1e-6 });
    let gated = Around { norm, then: Then::Gate(Activation::Silu), ..Around::default() };
    for (matrix, _) in &matrices(4096, 2048, Dtype::Bfloat16)[..3] {
        for around in [Around::default(), Around { norm, ..Around::default() }, gated] {
            let product = |rows: &Array| kernels.product(rows, matrix, around).unwrap();
            let all = product(&rows);
            for count in [1, 2, 9, 16, 31, 63] {
                let moved = product(&rows.try_index(64 - count..).unwrap());
                assert!(moved.eq_exact(all.try_index(64 - count..).unwrap()).unwrap(), "{count} rows");
            }
            for _ in 0..100 {
                assert!(product(&rows).eq_exact(&all).unwrap());
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn newest_tokens_are_kept_and_attended_as_in_single_steps() {
    let kernels = kernels();
    let (queries, keys, head_dim, places, first) = (4, 2, 128, 90, 3);
    let frequencies: Vec<f32> = (0..head_dim / 2).map(|pair| 10_000_f32.powf(-2.0 * pair as f32 / 128.0)).collect();
    let frequencies = Array::from_slice(&frequencies, &[head_dim / 2]);
    for (dtype, tolerance) in TYPES {
        let x = noise(&[4, (queries + 2 * keys) * head_dim], 1, dtype);
        let [query_norm, key_norm] = [2, 3].map(|seed| noise(&[head_dim], seed, dtype));
        let norms = Some([&query_norm, &key_norm].map(|weight| Norm { weight, eps: 1e-6 }));
        let plan = HeadsPlan { queries, keys, head_dim, norms, frequencies: &frequencies, traditional: false };
        // Room and first place of each row; the third row is padding.
        let (rows, end) = ([(2, 3), (0, 40), (-1, 0), (1, 80)], 81);
        let spans = Array::from_slice(&rows.map(|(room, start)| [room, start]).concat(), &[4, 2]);
        let positions = rows.map(|(_, start)| end - 1 - start);
        let ready = kernels.norm_and_rotate.apply(&x, &Array::from_slice(&positions, &[4]), &plan).unwrap();
        let new_values = x.reshape(&[4, queries + 2 * keys, head_dim]).unwrap();
        let new_values = new_values.try_index((.., queries + keys..)).unwrap();
        for window in [None, Some(20)] {
            let held_keys = noise(&[3, keys, places, head_dim], 4, dtype);
            let held_values = noise(&[3, keys, places, head_dim], 5, dtype);
            eval([&held_keys, &held_values]).unwrap();
            let before = [&held_keys, &held_values].map(|held| held.add(Array::from_int(0).as_dtype(dtype).unwrap()));
            let before = before.map(|held| held.unwrap());
            eval(&before).unwrap();
            let clock = Clock::new(end, first).unwrap();
            let scale = 0.1;
            let newest = NewestPlan { held: [&held_keys, &held_values], spans: &spans, clock: &clock, window, scale };
            // SAFETY: rooms and places lie within the arrays, which were evaluated and which nobody else holds.
            let out = unsafe { kernels.newest.apply(&x, &plan, &newest).unwrap() };
            eval([&out]).unwrap();
            for (number, (room, start)) in (0..).zip(rows) {
                if room < 0 {
                    assert!(in_f32(&row(&out, number)).square().unwrap().sum(None).unwrap().item_exact::<f32>() == 0.0);
                    continue;
                }
                let newest = end - 1 - first;
                let seen = start.max(window.map_or(0, |window| end - window)) - first;
                let with_new = |old: &Array, new: &Array| {
                    let old = old.try_index((room..room + 1, .., seen..newest)).unwrap();
                    concatenate(&[old, row(new, number).expand_dims(2).unwrap()], 2).unwrap()
                };
                let new_keys = ready.try_index((.., queries..)).unwrap();
                let (own_keys, own_values) = (with_new(&before[0], &new_keys), with_new(&before[1], &new_values));
                for (held, own) in [(&held_keys, &own_keys), (&held_values, &own_values)] {
                    let kept = held.try_index((room..room + 1, .., seen..newest + 1)).unwrap();
                    assert!(distance(&kept, own) < tolerance);
                    let untouched = held.try_index((room..room + 1, .., newest + 1..)).unwrap();
                    let old = if std::ptr::eq(held, &held_keys) { &before[0] } else { &before[1] };
                    assert!(untouched.eq_exact(old.try_index((room..room + 1, .., newest + 1..)).unwrap()).unwrap());
                }
                let spans = [Span { room: 0, start: 0, end: newest + 1 - seen }];
                let query = row(&ready, number).try_index((.., ..queries)).unwrap();
                let expected = kernels.attend.apply(&query, [&own_keys, &own_values], &spans, scale).unwrap();
                let out = distance(&row(&out, number), &expected);
                assert!(out < tolerance, "row {number}, window {window:?}: {out}");
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn sessions_that_begin_alike_take_steps_of_their_own_though_steps_write_in_place() {
    let (kernels, queries, keys, head_dim, dtype) = (kernels(), 4, 2, 64, Dtype::Bfloat16);
    let wavelengths = vec![2.0_f32; 32];
    let angles = Angles { head_dim, dims: head_dim, traditional: false, scale: 1.0, wavelengths, amplitude: 1.0 };
    let rotation = Rotation::new(angles, None);
    let heads = Heads { queries, keys, head_dim, norms: HeadNorms::None, rotation: Some(&rotation) };
    let shape = KvShape { layers: 1, kv_heads: keys, head_dim, dtype };
    let settings = AttentionSettings { scale: 0.1, window: None, softcap: None };
    let step = |(store, length): &mut (KvStore, i32), seed: u64| {
        if !store.layer_mut(0).is_own_from(*length) {
            store.make_own(&kernels, 0, 0..*length, 256).unwrap();
        }
        let x = noise(&[1, (queries + 2 * keys) * head_dim], seed, dtype);
        let part = Part::Tokens(Tokens { cache: 0, start: *length, count: 1, rows: 1 });
        let rows = Rows { parts: vec![part], company: Company::Any };
        let positions = Positions::each(vec![*length]);
        let output = kernels.attend(&x, &heads, &positions, &mut [store.layer_mut(0)], &rows, settings).unwrap();
        eval([&output]).unwrap();
        *length += 1;
        output
    };
    let empty = || (KvStore::empty(&kernels, &shape, 1, 256).unwrap(), 0);
    let alone = |seeds: &[u64]| {
        let mut cache = empty();
        seeds.iter().map(|seed| step(&mut cache, *seed)).last().unwrap()
    };
    let mut cache = empty();
    (0..5).for_each(|seed| drop(step(&mut cache, seed)));
    let snapshot = cache.0.snapshot(5);
    let mut copy = (KvStore::of(&snapshot).unwrap(), 5);
    let mut beginning = (KvStore::of(&snapshot.beginning(3).unwrap()).unwrap(), 3);
    // In turns, so that each would read what another one wrote last.
    for (cache, seed) in [(&mut cache, 10), (&mut copy, 20), (&mut beginning, 30)] {
        step(cache, seed);
    }
    assert!(step(&mut cache, 11).eq_exact(alone(&[0, 1, 2, 3, 4, 10, 11])).unwrap());
    assert!(step(&mut copy, 21).eq_exact(alone(&[0, 1, 2, 3, 4, 20, 21])).unwrap());
    assert!(step(&mut beginning, 31).eq_exact(alone(&[0, 1, 2, 30, 31])).unwrap());
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn each_row_attends_over_its_own_places_as_in_f32() {
    let kernels = kernels();
    for (dtype, tolerance) in TYPES {
        for (heads, kv_heads, head_dim, places) in [(4, 2, 128, 300), (3, 3, 64, 70), (8, 2, 96, 33), (2, 1, 256, 1500)]
        {
            let spans = [(0, 0, places), (2, 1, 2), (1, 5, places - 3), (0, places, places), (2, 17, 31)];
            let queries = noise(&[5, heads, head_dim], 1, dtype);
            let keys = noise(&[3, kv_heads, places + 9, head_dim], 2, dtype);
            let values = noise(&[3, kv_heads, places + 9, head_dim], 3, dtype);
            let of_rows = spans.map(|(room, start, end)| Span { room, start, end });
            let out = kernels.attend.apply(&queries, [&keys, &values], &of_rows, 0.1).unwrap();
            for (number, (room, start, end)) in (0..).zip(spans) {
                let out = row(&out, number);
                if start == end {
                    assert!(out.eq_exact(out.multiply(Array::from_int(0).as_dtype(dtype).unwrap()).unwrap()).unwrap());
                    continue;
                }
                let own = |held: &Array| in_f32(&held.try_index((room, .., start..end, ..)).unwrap());
                let query = in_f32(&row(&queries, number)).reshape(&[kv_heads, heads / kv_heads, head_dim]).unwrap();
                let scores = query.matmul(own(&keys).swap_axes(-1, -2).unwrap()).unwrap();
                let shares = softmax_axis(scores.multiply(Array::from_f32(0.1)).unwrap(), -1, true).unwrap();
                let expected = shares.matmul(own(&values)).unwrap().reshape(&[1, -1]).unwrap();
                let out = distance(&out, &expected);
                assert!(out < tolerance, "{head_dim} wide, places {start} to {end}: {out}");
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn heads_are_normed_and_rotated_as_by_mlx_in_f32() {
    let (rows, queries, keys, head_dim, dims) = (3, 4, 2, 128, 64);
    let frequencies: Vec<f32> = (0..dims / 2).map(|pair| 10_000_f32.powf(-2.0 * pair as f32 / dims as f32)).collect();
    let frequencies = Array::from_slice(&frequencies, &[dims / 2]);
    let places = Array::from_slice(&[0, 7, 900], &[rows]);
    for (dtype, tolerance) in TYPES {
        let x = noise(&[rows, (queries + 2 * keys) * head_dim], 1, dtype);
        let [query_norm, key_norm] = [2, 3].map(|seed| noise(&[head_dim], seed, dtype));
        for (traditional, is_normed) in [(false, true), (true, true), (false, false)] {
            let norms = is_normed.then_some([&query_norm, &key_norm].map(|weight| Norm { weight, eps: 1e-6 }));
            let plan = HeadsPlan { queries, keys, head_dim, norms, frequencies: &frequencies, traditional };
            let out = kernels().norm_and_rotate.apply(&x, &places, &plan).unwrap();
            let heads = in_f32(&x.reshape(&[rows, queries + 2 * keys, head_dim]).unwrap());
            let part = |from: i32, to: i32, norm: &Array| {
                let part = heads.try_index((.., from..to)).unwrap();
                if is_normed { rms_norm(&part, Some(&in_f32(norm)), 1e-6).unwrap() } else { part }
            };
            let normed = [part(0, queries, &query_norm), part(queries, queries + keys, &key_norm)];
            let normed = concatenate(&normed, 1).unwrap().expand_dims(2).unwrap();
            let expected = rope_dynamic(normed, dims, traditional, 10_000.0, 1.0, &places, None).unwrap();
            let out = distance(&out, &expected.squeeze_axes(&[2]).unwrap());
            assert!(out < tolerance, "neighbours {traditional}, normed {is_normed}: {out}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_first_half_gates_the_second_as_in_f32() {
    for (dtype, tolerance) in TYPES {
        let x = noise(&[5, 2 * 300], 1, dtype);
        let halves = in_f32(&x).split_at_indices(&[300], 1).unwrap();
        let expected = silu(&halves[0]).multiply(&halves[1]).unwrap();
        assert!(distance(&kernels().gated.apply(&x).unwrap(), &expected) < tolerance);
    }
}
