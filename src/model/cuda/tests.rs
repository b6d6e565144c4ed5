//! What the kernels promise, against MLX's own operations in f32. They need an NVIDIA GPU:
//! `cargo test --lib cuda -- --ignored --test-threads=1`.

#![allow(clippy::unwrap_used)]

use super::super::quantization::Quantization;
use super::product::{dense_product, packed_product};
use super::{HeadsPlan, attend, gated, normed_and_rotated};
use mlx_rs::fast::{rms_norm, rope_dynamic};
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, dequantize, quantize, sigmoid, softmax_axis};
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

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn few_rows_have_the_matrix_products_of_f32() {
    for (dtype, tolerance) in TYPES {
        for (rows, inputs, outputs) in [(2, 64, 16), (7, 1024, 1000), (33, 192, 40), (64, 2048, 129)] {
            let (x, weight) = (noise(&[rows, inputs], 1, dtype), noise(&[outputs, inputs], 2, dtype));
            let expected = in_f32(&x).matmul(in_f32(&weight).t()).unwrap();
            let out = distance(&dense_product(&x, &weight).unwrap(), &expected);
            assert!(out < tolerance, "{rows} rows of {inputs}: {out}");
            for (bits, group_size) in [(4, 32), (4, 64), (8, 32), (8, 64)] {
                let (packed, scales, biases) = quantize(&weight, group_size, bits).unwrap();
                let unpacked = dequantize(&packed, &scales, &biases, group_size, bits).unwrap();
                let expected = in_f32(&x).matmul(in_f32(&unpacked).t()).unwrap();
                let quantization = Quantization::new(bits, group_size).unwrap();
                let out = packed_product(&x, &packed, &scales, &biases, quantization).unwrap();
                let out = distance(&out, &expected);
                assert!(out < tolerance, "{rows} rows of {inputs}, {bits} bits by {group_size}: {out}");
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_row_has_the_same_product_in_any_place_beside_any_others_and_every_time() {
    let quantization = Quantization::new(4, 64).unwrap();
    let (rows, weight) = (noise(&[64, 2048], 1, Dtype::Bfloat16), noise(&[4096, 2048], 2, Dtype::Bfloat16));
    let (packed, scales, biases) = quantize(&weight, 64, 4).unwrap();
    let products: [&dyn Fn(&Array) -> Array; 2] = [&|x| dense_product(x, &weight).unwrap(), &|x| {
        packed_product(x, &packed, &scales, &biases, quantization).unwrap()
    }];
    for product in products {
        let all = product(&rows);
        for count in [2, 9, 16, 31, 63] {
            let moved = product(&rows.try_index(64 - count..).unwrap());
            assert!(moved.eq_exact(all.try_index(64 - count..).unwrap()).unwrap(), "{count} rows");
        }
        for _ in 0..100 {
            assert!(product(&rows).eq_exact(&all).unwrap());
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn each_row_attends_over_its_own_places_as_in_f32() {
    for (dtype, tolerance) in TYPES {
        for (heads, kv_heads, head_dim, places) in [(4, 2, 128, 300), (3, 3, 64, 70), (8, 2, 96, 33), (2, 1, 256, 1500)]
        {
            let spans = [(0, 0, places), (2, 1, 2), (1, 5, places - 3), (0, places, places), (2, 17, 31)];
            let queries = noise(&[5, heads, head_dim], 1, dtype);
            let keys = noise(&[3, kv_heads, places + 9, head_dim], 2, dtype);
            let values = noise(&[3, kv_heads, places + 9, head_dim], 3, dtype);
            let of_rows = spans.map(|(room, start, end)| [room, start, end]).concat();
            let out = attend(&queries, &keys, &values, &Array::from_slice(&of_rows, &[5, 3]), 0.1).unwrap();
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
            let norms = is_normed.then_some((&query_norm, &key_norm, 1e-6));
            let plan = HeadsPlan { queries, keys, head_dim, norms, frequencies: &frequencies, traditional };
            let out = normed_and_rotated(&x, &places, &plan).unwrap();
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
        let expected = halves[0].multiply(sigmoid(&halves[0]).unwrap()).unwrap().multiply(&halves[1]).unwrap();
        assert!(distance(&gated(&x).unwrap(), &expected) < tolerance);
    }
}
