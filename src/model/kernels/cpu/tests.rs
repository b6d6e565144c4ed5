//! What the kernels promise: MLX's numbers in any shape, and the same bits for a row whatever stands beside it. Where the
//! processor lacks AVX-512 nothing of this is used, so nothing is tested.
#![allow(clippy::unwrap_used)]

use super::super::pass::AttentionSettings;
use super::attend::{Span, attend_in_place};
use super::gated::gated;
use super::heads::{NormAndRotation, normed_and_rotated};
use super::norm::rms_norm;
use super::product::{Layout, Product, product};
use super::{kernels, team};
use mlx_rs::ops::indexing::{TryIndexMutOp, TryIndexOp};
use mlx_rs::ops::{concatenate, sigmoid, softmax_axis};
use mlx_rs::{Array, fast, random};
use std::sync::atomic::{AtomicUsize, Ordering};

fn noise(shape: &[i32], seed: u64) -> Array {
    random::uniform::<_, f32>(-1.0, 1.0, shape, &random::key(seed).unwrap()).unwrap()
}

fn numbers(array: &Array) -> Vec<f32> {
    array.contiguous().unwrap().to_vec_exact::<f32>().unwrap()
}

#[track_caller]
fn assert_close(result: &Array, expected: &Array) {
    assert_eq!(result.shape(), expected.shape());
    for (result, expected) in numbers(result).into_iter().zip(numbers(expected)) {
        assert!((result - expected).abs() <= 1e-5 + 1e-5 * expected.abs(), "{result} instead of {expected}");
    }
}

/// Row `row` of an array, as one.
fn row(array: &Array, row: i32) -> Array {
    array.try_index(row..row + 1).unwrap()
}

/// Whether `compute` gives a row the same bits alone and in every place beside others.
#[track_caller]
fn assert_rows_stand_alone(inputs: i32, compute: impl Fn(&Array) -> Array) {
    let own = noise(&[1, inputs], 1);
    let alone = numbers(&compute(&own));
    for width in [2, 3, 4, 5, 7, 16, 33, 65, 130] {
        let others = noise(&[width - 1, inputs], width as u64);
        for place in [0, width / 2, width - 1] {
            let parts = [others.try_index(..place).unwrap(), own.clone(), others.try_index(place..).unwrap()];
            let together = compute(&concatenate(&parts, 0).unwrap());
            assert_eq!(numbers(&row(&together, place)), alone, "place {place} of {width}");
        }
    }
}

#[test]
fn products_are_those_of_mlx_in_any_shape() {
    if kernels().is_none() {
        return;
    }
    for [rows, outputs, inputs] in
        [[1, 1, 1], [2, 7, 5], [3, 64, 64], [5, 65, 33], [9, 130, 100], [70, 200, 48], [33, 1000, 31]]
    {
        let (x, weight) = (noise(&[rows, inputs], 1), noise(&[outputs, inputs], 2));
        assert_close(&product(&x, &weight).unwrap(), &x.matmul(weight.t()).unwrap());
    }
}

#[test]
fn a_rows_product_has_the_same_bits_beside_any_others() {
    let weight = noise(&[203, 576], 7);
    if kernels().is_some() {
        assert_rows_stand_alone(576, |x| product(x, &weight).unwrap());
    }
}

#[test]
fn arrays_that_lie_in_any_order_give_the_same() {
    let (x, weight) = (noise(&[40, 9], 1), noise(&[40, 30], 2));
    if kernels().is_none() {
        return;
    }
    // Transposed, and every second row.
    let (x, weight) = (x.t().try_index(1..).unwrap(), weight.t());
    let straight = product(&x.contiguous().unwrap(), &weight.contiguous().unwrap()).unwrap();
    assert_eq!(numbers(&product(&x, &weight).unwrap()), numbers(&straight));
}

#[test]
fn nothing_is_written_beside_a_result() {
    if kernels().is_none() {
        return;
    }
    let (rows, outputs, inputs, room) = (5, 21, 37, 3);
    for layout in [Layout::OutputsFirst, Layout::InputsFirst] {
        let width = if layout == Layout::OutputsFirst { inputs } else { outputs };
        let x = vec![1.0; rows * (inputs + room)];
        let weight = vec![1.0; outputs.max(inputs) * (width + room)];
        let mut result = vec![7.0; rows * (outputs + room)];
        let product = Product {
            rows,
            outputs,
            inputs,
            x: x.as_ptr(),
            x_stride: inputs + room,
            weight: weight.as_ptr(),
            weight_stride: width + room,
            layout,
            result: result.as_mut_ptr(),
            result_stride: outputs + room,
        };
        // SAFETY: the vectors hold so many rows, and nobody else sees them.
        unsafe { product.compute() };
        for row in result.chunks(outputs + room) {
            assert!(row[..outputs].iter().all(|number| *number == inputs as f32), "{layout:?}");
            assert!(row[outputs..].iter().all(|number| *number == 7.0), "{layout:?}");
        }
    }
}

#[test]
fn gates_are_silu_of_one_half_times_the_other() {
    let x = noise(&[6, 2 * 203], 1).multiply(Array::from_f32(30.0)).unwrap();
    if kernels().is_none() {
        return;
    }
    let halves = x.split_at_indices(&[203], -1).unwrap();
    let silu = halves[0].multiply(sigmoid(&halves[0]).unwrap()).unwrap();
    assert_close(&gated(&x).unwrap(), &silu.multiply(&halves[1]).unwrap());
    assert_rows_stand_alone(2 * 203, |x| gated(x).unwrap());
}

#[test]
fn gates_of_extreme_numbers_stay_finite() {
    let x = Array::from_slice(&[1e30_f32, -1e30, 200.0, -200.0, 0.0, -90.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], &[1, 12]);
    if kernels().is_some() {
        let result = numbers(&gated(&x).unwrap());
        assert_eq!(result[..5], [1e30, 0.0, 200.0, 0.0, 0.0].map(|number: f32| number), "{result:?}");
        assert!(result[5].abs() < 1e-35, "{result:?}");
    }
}

#[test]
fn norms_are_those_of_mlx() {
    let (x, weight) = (noise(&[7, 203], 1), noise(&[203], 2));
    if kernels().is_none() {
        return;
    }
    assert_close(&rms_norm(&x, &weight, 1e-5).unwrap(), &fast::rms_norm(&x, Some(&weight), 1e-5).unwrap());
    assert_rows_stand_alone(203, |x| rms_norm(x, &weight, 1e-5).unwrap());
}

#[test]
fn queries_and_keys_are_normed_and_rotated_as_by_mlx() {
    let (queries, keys, head_dim, count) = (4, 2, 20, 5);
    let x = noise(&[count, (queries + 2 * keys) * head_dim], 1);
    if kernels().is_none() {
        return;
    }
    let (query_norm, key_norm) = (noise(&[head_dim], 2), noise(&[head_dim], 3));
    for (rotated, traditional, is_normed) in [(20, false, true), (20, true, false), (8, false, false), (8, true, true)]
    {
        let angle = |row: i32, pair: i32| row as f32 * 10_000_f32.powf(-2.0 * pair as f32 / rotated as f32);
        let mut tables = [vec![1.0; (count * head_dim) as usize], vec![0.0; (count * head_dim) as usize]];
        for (row, pair) in (0..count).flat_map(|row| (0..rotated / 2).map(move |pair| (row, pair))) {
            let (first, second) = if traditional { (2 * pair, 2 * pair + 1) } else { (pair, pair + rotated / 2) };
            for (place, sign) in [(first, -1.0), (second, 1.0)] {
                tables[0][(row * head_dim + place) as usize] = angle(row, pair).cos();
                tables[1][(row * head_dim + place) as usize] = sign * angle(row, pair).sin();
            }
        }
        let [cosines, sines] = tables.map(|table| Array::from_slice(&table, &[count, 1, head_dim]));
        let heads = NormAndRotation {
            queries: queries as usize,
            keys: keys as usize,
            head_dim: head_dim as usize,
            rotated: rotated as usize,
            traditional,
            eps: is_normed.then_some(1e-5),
        };
        let norms = is_normed.then_some([&query_norm, &key_norm]);
        let result = normed_and_rotated(&x, &cosines, &sines, norms, heads).unwrap();
        let all = x.reshape(&[count, queries + 2 * keys, head_dim]).unwrap();
        let of = |from: i32, to: i32, weight: &Array| {
            let heads = all.try_index((.., from..to)).unwrap();
            let heads = if is_normed { fast::rms_norm(heads, Some(weight), 1e-5).unwrap() } else { heads };
            let heads = heads.swap_axes(0, 1).unwrap().expand_dims(0).unwrap();
            let rotated = fast::rope(heads, rotated, traditional, 10_000.0, 1.0, 0, None::<&Array>).unwrap();
            rotated.try_index(0).unwrap().swap_axes(0, 1).unwrap()
        };
        let expected = [of(0, queries, &query_norm), of(queries, queries + keys, &key_norm)];
        assert_close(&result, &concatenate(&expected, 1).unwrap());
    }
}

/// Attention of one row over its own places, by MLX's operations.
fn expected_attention(query: &Array, [keys, values]: &[Array; 2], span: Span, scale: f32) -> Array {
    let (heads, head_dim, kv_heads) = (query.dim(1), query.dim(2), keys.dim(1));
    let own = |held: &Array| held.try_index((0, .., span.start..span.end, ..)).unwrap();
    let query = query.reshape(&[kv_heads, heads / kv_heads, head_dim]).unwrap();
    let scores = query.matmul(own(keys).swap_axes(-1, -2).unwrap()).unwrap();
    let shares = softmax_axis(scores.multiply(Array::from_f32(scale)).unwrap(), -1, true).unwrap();
    shares.matmul(own(values)).unwrap().reshape(&[1, heads * head_dim]).unwrap()
}

#[test]
fn each_row_is_kept_and_attends_over_its_own_places_with_the_same_bits_beside_any_others() {
    for (heads, kv_heads, head_dim) in [(9, 3, 64), (4, 4, 20), (8, 1, 100)] {
        // Decode steps of several sessions, padding, and twenty tokens of a prompt.
        let mut spans = vec![(0, 0, 300), (2, 1, 2), (1, 5, 90), (0, 0, 0), (3, 17, 31)];
        spans.extend((100..120).map(|place| (4, 3, place + 1)));
        let spans: Vec<Span> = spans.into_iter().map(|(cache, start, end)| Span { cache, start, end }).collect();
        let count = spans.len() as i32;
        let queries = noise(&[count, heads, head_dim], 1);
        if kernels().is_none() {
            return;
        }
        let new = [2, 3].map(|seed| noise(&[count, kv_heads, head_dim], seed));
        let held = |room: usize, part: u64| noise(&[1, kv_heads, 309 + room as i32, head_dim], 10 * room as u64 + part);
        let caches: Vec<[Array; 2]> = (0..5).map(|room| [held(room, 4), held(room, 5)]).collect();
        let attend = |rows: std::ops::Range<i32>| {
            let of_rows = |array: &Array| array.try_index(rows.clone()).unwrap();
            let (queries, keys, values) = (&of_rows(&queries), &of_rows(&new[0]), &of_rows(&new[1]));
            let held: Vec<_> = caches.iter().map(<[Array; 2]>::each_ref).collect();
            let spans = &spans[rows.start as usize..rows.end as usize];
            let settings = AttentionSettings { scale: 0.3, window: None, softcap: None };
            // SAFETY: the caches have more room than any span sees, and nobody else reads them meanwhile.
            unsafe { attend_in_place([queries, keys, values], &held, spans, settings).unwrap() }
        };
        let together = numbers(&attend(0..count));
        let width = (heads * head_dim) as usize;
        // What the caches must hold now: what they held, and each row's token at its place.
        for (room, cache) in caches.iter().enumerate() {
            for ((part, held_now), new) in (4..).zip(cache).zip(&new) {
                let mut expected = held(room, part);
                for (index, span) in (0..).zip(&spans).filter(|(_, span)| span.cache == room && span.end > 0) {
                    let token = row(new, index).expand_dims(2).unwrap();
                    expected.try_index_mut((.., .., span.end - 1..span.end, ..), token).unwrap();
                }
                assert_eq!(numbers(held_now), numbers(&expected), "cache {room}");
            }
        }
        for (index, span) in (0..).zip(&spans) {
            let result = &together[index as usize * width..][..width];
            if span.end == 0 {
                assert!(result.iter().all(|number| *number == 0.0));
                continue;
            }
            let result = Array::from_slice(result, &[1, width as i32]);
            let expected = expected_attention(&row(&queries, index), &caches[span.cache], *span, 0.3);
            assert_close(&result, &expected);
            assert_eq!(numbers(&result), numbers(&attend(index..index + 1)), "row {index}");
        }
    }
}

#[test]
fn every_part_is_done_once_from_many_threads_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for parts in 1..200 {
                    let done: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                    team::share(parts, usize::MAX, &|part| {
                        done[part].fetch_add(1, Ordering::Relaxed);
                    });
                    team::share_pieces(parts, usize::MAX, &|parts| {
                        parts.for_each(|part| {
                            done[part].fetch_add(1, Ordering::Relaxed);
                        });
                    });
                    assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 2));
                }
            });
        }
    });
}

#[test]
fn a_team_that_fell_asleep_works_again() {
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let done = AtomicUsize::new(0);
        team::share(50, usize::MAX, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 50);
    }
}
