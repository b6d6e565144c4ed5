//! Every set of kernels that this machine has, against the reference: MLX's operations. What NVIDIA's GPUs compute is tested
//! beside their kernels.

#![allow(clippy::unwrap_used)]

use super::{
    Angles, Around, AttentionSettings, Company, HeadNorms, Heads, KernelChoice, Kernels, KvShape, KvStore, Layout,
    Matrix, Norm, Part, Positions, Rotation, Rows, Step, Then, Tokens, choose,
};
use crate::model::ops::Activation;
use crate::model::quantization::Quantization;
use crate::protocol::DeviceKind;
use mlx_rs::ops::quantize;
use mlx_rs::{Array, Dtype, random};
use std::rc::Rc;

fn reference() -> Rc<dyn Kernels> {
    choose(DeviceKind::Cpu, KernelChoice::Mlx).unwrap()
}

/// All but the reference.
fn others() -> Vec<Rc<dyn Kernels>> {
    vec![choose(DeviceKind::Gpu, KernelChoice::Mlx).unwrap(), choose(DeviceKind::Cpu, KernelChoice::Own).unwrap()]
}

fn noise(shape: &[i32], seed: u64) -> Array {
    random::uniform::<_, f32>(-1.0, 1.0, shape, &random::key(seed).unwrap()).unwrap()
}

fn numbers(array: &Array) -> Vec<f32> {
    array.contiguous().unwrap().to_vec_exact::<f32>().unwrap()
}

#[track_caller]
fn assert_close(result: &Array, expected: &Array, what: &str) {
    assert_eq!(result.shape(), expected.shape(), "{what}");
    for (result, expected) in numbers(result).into_iter().zip(numbers(expected)) {
        assert!((result - expected).abs() <= 1e-5 + 1e-5 * expected.abs(), "{what}: {result} instead of {expected}");
    }
}

#[test]
fn products_with_all_that_stands_around_them_are_the_references() {
    let reference = reference();
    for kernels in others() {
        for (rows, inputs, outputs) in [(1, 64, 16), (5, 96, 42), (70, 32, 130)] {
            let (x, weight, bias) = (noise(&[rows, inputs], 1), noise(&[outputs, inputs], 2), noise(&[outputs], 3));
            let (norm, added) = (noise(&[inputs], 4), noise(&[rows, outputs], 5));
            let norm = Norm { weight: &norm, eps: 1e-5 };
            let quantization = Quantization::new(4, 32).unwrap();
            let (packed, scales, biases) = quantize(&weight, 32, 4).unwrap();
            let packed = Matrix::packed(packed, scales, biases, quantization);
            let matrices = |kernels: &dyn Kernels| [kernels.dense(&weight).unwrap(), packed.clone()];
            let activations = [Activation::Silu, Activation::GeluTanh].map(Then::Gate);
            let thens = [Then::Nothing, Then::Add(&added)].into_iter().chain(activations);
            for then in thens {
                for (norm, bias) in [(None, None), (Some(norm), None), (None, Some(&bias)), (Some(norm), Some(&bias))] {
                    let around = Around { norm, bias, then };
                    for (expected, given) in matrices(&*reference).iter().zip(&matrices(&*kernels)) {
                        let expected = reference.product(&x, expected, around).unwrap();
                        let given = kernels.product(&x, given, around).unwrap();
                        assert_close(&given, &expected, &format!("{} of {around:?}", kernels.name()));
                    }
                }
            }
        }
    }
}

#[test]
fn rows_of_an_embedding_are_the_references() {
    let (weight, ids) = (noise(&[50, 64], 1), Array::from_slice(&[7_u32, 0, 49, 7], &[4]));
    let (packed, scales, biases) = quantize(&weight, 64, 8).unwrap();
    let packed = Matrix::packed(packed, scales, biases, Quantization::new(8, 64).unwrap());
    let reference = reference();
    for kernels in others() {
        let expected = reference.rows_of(&reference.dense(&weight).unwrap(), &ids).unwrap();
        assert_close(&kernels.rows_of(&kernels.dense(&weight).unwrap(), &ids).unwrap(), &expected, kernels.name());
        let expected = reference.rows_of(&packed, &ids).unwrap();
        assert_close(&kernels.rows_of(&packed, &ids).unwrap(), &expected, kernels.name());
    }
}

fn rotation(traditional: bool, dims: i32, scale: f32, amplitude: f32, is_power: bool) -> Rotation {
    let wavelength = |pair: i32| 10_000_f32.powf(2.0 * pair as f32 / dims as f32) * if is_power { 1.0 } else { 1.5 };
    let wavelengths = (0..dims / 2).map(wavelength).collect();
    let angles = Angles { head_dim: 16, dims, traditional, scale, wavelengths, amplitude };
    Rotation::new(angles, is_power.then_some(10_000.0))
}

#[test]
fn heads_are_normed_and_rotated_as_by_the_reference() {
    let (queries, keys, head_dim, tokens) = (4, 2, 16, 5);
    let x = noise(&[tokens, (queries + 2 * keys) * head_dim], 1);
    let weights = [head_dim, head_dim, queries * head_dim, keys * head_dim].map(|width| noise(&[width], width as u64));
    let [each_query, each_key, all_queries, all_keys] = weights.each_ref().map(|weight| Norm { weight, eps: 1e-5 });
    let rotations = [
        None,
        Some(rotation(false, 16, 1.0, 1.0, true)),
        Some(rotation(true, 16, 0.5, 1.0, true)),
        Some(rotation(false, 8, 1.0, 1.0, false)),
        Some(rotation(false, 16, 1.0, 1.2, false)),
    ];
    let reference = reference();
    for kernels in others() {
        for rotation in &rotations {
            let norms = [
                HeadNorms::None,
                HeadNorms::EachHead([each_query, each_key]),
                HeadNorms::AllHeads([all_queries, all_keys]),
            ];
            for norms in norms {
                let heads = Heads { queries, keys, head_dim, norms, rotation: rotation.as_ref() };
                for positions in [|| Positions::from(7, 5), || Positions::each(vec![0, 40, 3, 9, 100])] {
                    let expected = reference.heads(&x, &heads, &positions()).unwrap();
                    let given = kernels.heads(&x, &heads, &positions()).unwrap();
                    for (given, expected) in given.iter().zip(&expected) {
                        // MLX's kernel takes sines of f32 angles.
                        let far = given.subtract(expected).unwrap().abs().unwrap().max(None).unwrap();
                        assert!(far.item_exact::<f32>() < 1e-4, "{} of {heads:?}", kernels.name());
                    }
                }
            }
        }
    }
}

const SHAPE: KvShape = KvShape { layers: 1, kv_heads: 2, head_dim: 8, dtype: Dtype::Float32 };

/// A cache of `rooms` with room for `places`, that holds the same tokens for any kernels.
fn store(kernels: &dyn Kernels, rooms: i32, places: i32, seed: u64) -> KvStore {
    let mut store = KvStore::empty(kernels, &SHAPE, rooms, places).unwrap();
    for room in 0..rooms {
        let tokens =
            [0, 1].map(|part| noise(&[1, SHAPE.kv_heads, places, SHAPE.head_dim], seed + 2 * room as u64 + part));
        store.fill(0, room, 0, tokens.each_ref()).unwrap();
    }
    store
}

#[test]
fn tokens_are_kept_and_attended_as_by_the_reference() {
    let heads =
        Heads { queries: 4, keys: SHAPE.kv_heads, head_dim: SHAPE.head_dim, norms: HeadNorms::None, rotation: None };
    let own = [
        Part::Tokens(Tokens { cache: 0, start: 20, count: 7, rows: 9 }),
        Part::Tokens(Tokens { cache: 1, start: 5, count: 1, rows: 1 }),
        Part::Tokens(Tokens { cache: 0, start: 27, count: 1, rows: 3 }),
    ];
    let shared = |company| {
        let step = Step { cache: 0, rows: 4, layout: Layout::new(20, vec![2, 0, 1], vec![3, 0, 15]) };
        (Rows { parts: vec![Part::Step(step)], company }, 3)
    };
    let cases = || {
        vec![
            (
                Rows {
                    parts: own
                        .iter()
                        .map(|part| match part {
                            Part::Tokens(tokens) => Part::Tokens(*tokens),
                            Part::Step(_) => unreachable!(),
                        })
                        .collect(),
                    company: Company::Any,
                },
                1,
            ),
            shared(Company::Any),
            shared(Company::EquallyLong(1)),
        ]
    };
    let run = |kernels: &dyn Kernels, case: usize, settings: AttentionSettings| {
        let (rows, rooms) = cases().swap_remove(case);
        let x = noise(&[rows.parts.iter().map(Part::rows).sum(), (4 + 2 * SHAPE.kv_heads) * SHAPE.head_dim], 9);
        let mut stores = [store(kernels, rooms, 40, 50), store(kernels, rooms, 40, 60)];
        let mut memories: Vec<_> = stores.iter_mut().map(|store| store.layer_mut(0)).collect();
        let positions = Positions::from(0, x.dim(0));
        let output = kernels.attend(&x, &heads, &positions, &mut memories, &rows, settings).unwrap();
        mlx_rs::transforms::eval([&output]).unwrap();
        let held = stores.map(|mut store| {
            let kept = store.part(0, 0, 40).unwrap();
            kept.tokens(0).unwrap()
        });
        (output, held)
    };
    let reference = reference();
    for kernels in others() {
        for (window, softcap) in [(None, None), (Some(6), None), (None, Some(0.3)), (Some(4), Some(0.5))] {
            let settings = AttentionSettings { scale: 0.4, window, softcap };
            for case in 0..cases().len() {
                let what = format!("{}, case {case}, {settings:?}", kernels.name());
                let (expected, expected_held) = run(&*reference, case, settings);
                let (given, held) = run(&*kernels, case, settings);
                assert_close(&given, &expected, &what);
                for (given, expected) in held.iter().flatten().zip(expected_held.iter().flatten()) {
                    assert_eq!(numbers(given), numbers(expected), "what is kept: {what}");
                }
            }
        }
    }
}

#[test]
fn what_others_see_of_a_cache_is_never_written_in_place() {
    for kernels in others().into_iter().filter(|kernels| kernels.promises().attends_own_caches) {
        let heads = Heads { queries: 2, keys: 2, head_dim: 8, norms: HeadNorms::None, rotation: None };
        let settings = AttentionSettings { scale: 1.0, window: None, softcap: None };
        let mut store = store(&*kernels, 1, 40, 1);
        let snapshot = store.snapshot(20);
        let mut attend = |start| {
            let part = Part::Tokens(Tokens { cache: 0, start, count: 1, rows: 1 });
            let rows = Rows { parts: vec![part], company: Company::Any };
            let x = noise(&[1, 48], 2);
            kernels.attend(&x, &heads, &Positions::from(start, 1), &mut [store.layer_mut(0)], &rows, settings).map(drop)
        };
        assert!(attend(20).is_ok());
        assert!(attend(19).is_err(), "the snapshot holds that place");
        assert!(attend(40).is_err(), "there is no room for that place");
        let mut copy = KvStore::of(&snapshot).unwrap();
        assert!(!copy.layer_mut(0).is_own_from(20), "its memory is the other cache's");
        copy.make_own(&*kernels, 0, 0..20, 30).unwrap();
        assert!(copy.layer_mut(0).is_own_from(0));
    }
}
