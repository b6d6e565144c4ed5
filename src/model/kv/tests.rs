//! Caches of layers with a sliding window let go of what lies before it, nobody's attention changes, and what others hold is
//! never written. Each holds for every set of kernels that this machine has.

#![allow(clippy::unwrap_used)]

use super::groups::Groups;
use super::session::KvCache;
use super::{Pass, Seat};
use crate::model::kernels::{
    AttentionSettings, Company, HeadNorms, Heads, KernelChoice, Kernels, KvShape, Positions, Tokens, choose,
};
use crate::protocol::DeviceKind;
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype, random};
use std::ops::Range;
use std::rc::Rc;

const WINDOW: i32 = 8;
const HEADS: i32 = 2;
const SHAPE: KvShape = KvShape { layers: 1, kv_heads: 1, head_dim: 4, dtype: Dtype::Float32 };
const SETTINGS: AttentionSettings = AttentionSettings { scale: 0.5, window: Some(WINDOW), softcap: None };
const GROWTH: i32 = 256;

fn all_kernels() -> Vec<Rc<dyn Kernels>> {
    vec![
        choose(DeviceKind::Cpu, KernelChoice::Mlx).unwrap(),
        choose(DeviceKind::Gpu, KernelChoice::Mlx).unwrap(),
        choose(DeviceKind::Cpu, KernelChoice::Own).unwrap(),
    ]
}

fn heads() -> Heads<'static> {
    Heads { queries: HEADS, keys: SHAPE.kv_heads, head_dim: SHAPE.head_dim, norms: HeadNorms::None, rotation: None }
}

/// The products of queries, keys and values that a session feeds its only layer, and what attention must give for each.
struct Session {
    products: Array,
    expected: Array,
}

impl Session {
    /// `tokens` random ones; the answers come from the reference reading all of them at once.
    fn new(seed: u64, tokens: i32) -> Self {
        let width = (HEADS + 2 * SHAPE.kv_heads) * SHAPE.head_dim;
        let products = random::normal::<f32>(&[tokens, width], None, None, &random::key(seed).unwrap()).unwrap();
        Self::of(products)
    }

    fn of(products: Array) -> Self {
        let reference = choose(DeviceKind::Cpu, KernelChoice::Mlx).unwrap();
        let mut cache = KvCache::new(&*reference, &SHAPE).unwrap();
        let expected = read(&*reference, &mut cache, &products);
        Self { products, expected }
    }

    fn tokens(&self, places: Range<i32>) -> Array {
        self.products.try_index(places).unwrap()
    }

    /// A cache of the first `tokens`, read in chunks of `chunk`.
    fn prefilled(&self, kernels: &dyn Kernels, tokens: i32, chunk: i32) -> KvCache {
        let mut cache = KvCache::new(kernels, &SHAPE).unwrap();
        while cache.length() < tokens {
            let places = cache.length()..tokens.min(cache.length() + chunk);
            let given = read(kernels, &mut cache, &self.tokens(places.clone()));
            self.check(&given, places);
        }
        cache
    }

    #[track_caller]
    fn check(&self, given: &Array, places: Range<i32>) {
        let expected = self.expected.try_index(places.clone()).unwrap();
        let far = given.subtract(expected).unwrap().abs().unwrap().max(None).unwrap().item_exact::<f32>();
        assert!(far < 1e-5, "tokens {places:?} are off by {far}");
    }

    /// The next token of a session in a cache of its own.
    #[track_caller]
    fn step(&self, kernels: &dyn Kernels, cache: &mut KvCache) {
        let place = cache.length();
        let given = attend(kernels, &mut Pass::step(vec![&mut *cache], 1), &self.tokens(place..place + 1));
        self.check(&given, place..place + 1);
        cache.advance(1);
    }
}

fn attend(kernels: &dyn Kernels, pass: &mut Pass<'_>, products: &Array) -> Array {
    let output = pass.attend(kernels, 0, products, &heads(), &Positions::from(0, products.dim(0)), SETTINGS).unwrap();
    mlx_rs::transforms::eval([&output]).unwrap();
    output
}

/// What attention gives for a session's next tokens, which its cache holds then.
fn read(kernels: &dyn Kernels, cache: &mut KvCache, products: &Array) -> Array {
    let (start, tokens) = (cache.length(), products.dim(0));
    let part = Tokens { cache: 0, start, count: tokens, rows: tokens };
    let given = attend(kernels, &mut Pass::prompts(vec![&mut *cache], &[part]), products);
    cache.advance(tokens);
    given
}

/// One token of each session at its place, side by side.
fn side_by_side(sessions: &[(&Session, i32)]) -> Array {
    let tokens: Vec<Array> = sessions.iter().map(|(session, place)| session.tokens(*place..*place + 1)).collect();
    concatenate(&tokens, 0).unwrap()
}

#[track_caller]
fn check_all(given: &Array, sessions: &[(&Session, i32)]) {
    for (row, (session, place)) in (0..).zip(sessions) {
        session.check(&given.try_index(row..row + 1).unwrap(), *place..*place + 1);
    }
}

fn places_held(cache: &mut KvCache) -> i32 {
    cache.store().layer_mut(0).capacity() - cache.store().layer_mut(0).first()
}

#[test]
fn a_layer_with_a_window_holds_little_more_than_that() {
    let session = Session::new(1, 1200);
    for kernels in all_kernels() {
        let mut cache = session.prefilled(&*kernels, 700, 100);
        assert!(places_held(&mut cache) <= WINDOW + 100 + GROWTH, "{}", places_held(&mut cache));
        for _ in 700..1200 {
            session.step(&*kernels, &mut cache);
        }
        assert!(places_held(&mut cache) <= WINDOW + 2 * GROWTH, "{}", places_held(&mut cache));
        let snapshot = cache.snapshot();
        assert!(snapshot.beginning(600).is_none(), "its first tokens are gone");
        assert_eq!(snapshot.beginning(1200).unwrap().length(), 1200);
    }
}

#[test]
fn sessions_side_by_side_in_their_own_caches_get_their_own_long_after_the_window() {
    let sessions = [Session::new(9, 1600), Session::new(10, 1600)];
    for kernels in all_kernels() {
        let mut caches = [300, 40].map(|expected| {
            let mut cache = KvCache::new(&*kernels, &SHAPE).unwrap();
            cache.expect(expected);
            cache
        });
        // One is read in chunks until it is longer than expected, then both take steps, side by side and with padding.
        for place in (0..700).step_by(100) {
            let given = read(&*kernels, &mut caches[0], &sessions[0].tokens(place..place + 100));
            sessions[0].check(&given, place..place + 100);
        }
        for step in 0..800 {
            let rows = [(&sessions[0], 700 + step), (&sessions[1], step), (&sessions[1], 0)];
            let [one, other] = &mut caches;
            check_all(&attend(&*kernels, &mut Pass::step(vec![one, other], 3), &side_by_side(&rows)), &rows[..2]);
            caches.iter_mut().for_each(|cache| cache.advance(1));
        }
        assert!(caches.iter_mut().all(|cache| places_held(cache) <= WINDOW + 2 * GROWTH));
    }
}

#[test]
fn a_session_that_begins_as_another_goes_on_by_itself() {
    let one = Session::new(11, 40);
    let strangers = Session::new(12, 40);
    let other = Session::of(concatenate(&[one.tokens(0..20), strangers.tokens(20..40)], 0).unwrap());
    for kernels in all_kernels() {
        let mut cache = KvCache::new(&*kernels, &SHAPE).unwrap();
        for _ in 0..20 {
            one.step(&*kernels, &mut cache);
        }
        // In turns, so that each would read what the other one wrote last.
        let mut copy = KvCache::of(&cache.snapshot()).unwrap();
        for _ in 20..40 {
            one.step(&*kernels, &mut cache);
            other.step(&*kernels, &mut copy);
        }
    }
}

#[test]
fn a_snapshot_keeps_its_tokens_while_its_session_goes_on_and_begins_anew() {
    let session = Session::new(14, 60);
    for kernels in all_kernels() {
        let mut cache = session.prefilled(&*kernels, 30, 30);
        let snapshot = cache.snapshot();
        for _ in 30..40 {
            session.step(&*kernels, &mut cache);
        }
        // What the snapshot holds must not be written again.
        let strangers = Session::new(15, 60);
        cache.cut(20);
        read(&*kernels, &mut cache, &strangers.tokens(20..30));
        for length in [30, 12] {
            let mut again = KvCache::of(&snapshot.beginning(length).unwrap()).unwrap();
            for _ in length..40 {
                session.step(&*kernels, &mut again);
            }
        }
    }
}

#[test]
fn a_cache_that_is_cut_reads_the_same_tokens_again() {
    let session = Session::new(13, 40);
    for kernels in all_kernels() {
        let mut cache = KvCache::new(&*kernels, &SHAPE).unwrap();
        for (start, tokens) in [(0, 15), (15, 20), (15, 25)] {
            cache.cut(start);
            let given = read(&*kernels, &mut cache, &session.tokens(start..start + tokens));
            session.check(&given, start..start + tokens);
        }
    }
}

#[test]
fn sessions_that_share_a_cache_get_their_own_long_after_the_window() {
    let (one, other, short) = (Session::new(5, 800), Session::new(6, 800), Session::new(7, 800));
    let late = Session::new(8, 1200);
    for company in [Company::Any, Company::EquallyLong(2), Company::EquallyLong(1)] {
        for kernels in all_kernels().into_iter().filter(|kernels| !kernels.promises().attends_own_caches) {
            let mut groups = Groups::default();
            // Two are equally long, but read in other chunks, so that they hold other places; one leaves half way, and a
            // much longer one joins.
            let mut caches = [
                one.prefilled(&*kernels, 300, 300),
                other.prefilled(&*kernels, 300, 7),
                short.prefilled(&*kernels, 50, 50),
            ];
            let tokens: Vec<_> = caches.iter_mut().map(KvCache::snapshot).collect();
            let mut seats = groups.join(&*kernels, &tokens).unwrap();
            for step in 0..400 {
                let mut rows = vec![(&one, 300 + step), (&other, 300 + step), (&short, 50 + step)];
                if step == 200 {
                    seats.remove(1);
                }
                if step >= 200 {
                    rows.remove(1);
                }
                if step == 250 {
                    let tokens = late.prefilled(&*kernels, 900, 300).snapshot();
                    seats.extend(groups.join(&*kernels, &[tokens]).unwrap());
                }
                if step >= 250 {
                    rows.push((&late, 650 + step));
                }
                let mut order: Vec<usize> = (0..seats.len()).collect();
                order.sort_by_key(|row| seats[*row].order());
                let rows: Vec<_> = order.iter().map(|row| rows[*row]).collect();
                let in_order: Vec<Seat> = order.iter().map(|row| seats[*row].clone()).collect();
                // The rows behind the sessions' are padding.
                let mut with_padding = rows.clone();
                with_padding.resize(4, (&one, 0));
                let given = attend(
                    &*kernels,
                    &mut Pass::shared_step(&mut groups, &in_order, 4, company),
                    &side_by_side(&with_padding),
                );
                check_all(&given, &rows);
                groups.advance();
            }
            let mut alone = KvCache::of(&groups.extract(&seats[1]).unwrap()).unwrap();
            assert_eq!(alone.length(), 450);
            short.step(&*kernels, &mut alone);
        }
    }
}

#[test]
fn sessions_that_join_one_after_the_other_share_a_cache_where_they_are_about_equally_long() {
    let kernels = choose(DeviceKind::Gpu, KernelChoice::Mlx).unwrap();
    let session = Session::new(3, 700);
    let snapshot = |tokens| session.prefilled(&*kernels, tokens, 100).snapshot();
    let mut groups = Groups::default();
    let seats = groups.join(&*kernels, &[snapshot(600), snapshot(500), snapshot(100)]).unwrap();
    let group = |seat: &Seat| seat.order().0;
    assert_eq!(group(&seats[0]), group(&seats[1]));
    assert_ne!(group(&seats[0]), group(&seats[2]));
    let later = groups.join(&*kernels, &[snapshot(120)]).unwrap();
    assert_eq!(group(&later[0]), group(&seats[2]));
    drop(seats);
    let alone = groups.join(&*kernels, &[snapshot(650)]).unwrap();
    assert_eq!(group(&alone[0]), 0, "caches that all have left are taken again");
}
