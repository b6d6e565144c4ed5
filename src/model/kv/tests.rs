//! Caches of layers with a sliding window let go of what lies before it, and nobody's attention changes.

#![allow(clippy::unwrap_used)]

use super::{
    ApartCaches, Attend, AttentionSettings, GROWTH, InPlaceStep, KvCache, KvShape, OwnStep, PaddedStep, PrefillStep,
    PromptPart, SharedKvCache, UnpaddedStep, attends_in_place,
};
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::{Array, Dtype, random};
use std::ops::Range;

const WINDOW: i32 = 8;
const HEADS: i32 = 2;
const SHAPE: KvShape = KvShape { layers: 1, kv_heads: 1, head_dim: 4, dtype: Dtype::Float32 };
const SETTINGS: AttentionSettings =
    AttentionSettings { scale: 0.5, window: Some(WINDOW), softcap: None, in_steps: true };

/// What a session feeds its only layer, and what attention must give for it.
struct Session {
    queries: Array,
    keys: Array,
    values: Array,
    expected: Array,
}

impl Session {
    /// `tokens` random ones; the answers come from reading all of them at once.
    fn new(seed: u64, tokens: i32) -> Self {
        let random = |stream: u64, heads: i32| {
            let key = random::key(seed * 3 + stream).unwrap();
            random::normal::<f32>(&[tokens, heads, SHAPE.head_dim], None, None, &key).unwrap()
        };
        let (queries, keys, values) = (random(0, HEADS), random(1, SHAPE.kv_heads), random(2, SHAPE.kv_heads));
        let mut cache = KvCache::new(&SHAPE).unwrap();
        let expected = read(&mut cache, [&queries, &keys, &values]);
        Self { queries, keys, values, expected }
    }

    fn tokens(&self, places: Range<i32>) -> [Array; 3] {
        [&self.queries, &self.keys, &self.values].map(|array| array.try_index(places.clone()).unwrap())
    }

    /// A cache of the first `tokens`, read in chunks of `chunk`.
    fn prefilled(&self, tokens: i32, chunk: i32) -> KvCache {
        let mut cache = KvCache::new(&SHAPE).unwrap();
        while cache.length() < tokens {
            let places = cache.length()..tokens.min(cache.length() + chunk);
            let given = read(&mut cache, self.tokens(places.clone()).each_ref());
            self.check(&given, places.clone());
            cache.advance(places.end - places.start);
        }
        cache
    }

    fn check(&self, given: &Array, places: Range<i32>) {
        let expected = self.expected.try_index(places.clone()).unwrap();
        let far = given.subtract(expected).unwrap().abs().unwrap().max(None).unwrap().item_exact::<f32>();
        assert!(far < 1e-5, "tokens {places:?} are off by {far}");
    }
}

/// What attention gives for a session's next queries, keys and values.
fn read(cache: &mut KvCache, [queries, keys, values]: [&Array; 3]) -> Array {
    let (start, tokens) = (cache.length(), queries.dim(0));
    let part = PromptPart { session: 0, start, tokens, rows: tokens };
    PrefillStep::new(&mut [cache], vec![part]).attend(0, queries, keys, values, SETTINGS).unwrap()
}

/// One token of each session at its place, side by side.
fn side_by_side(sessions: &[(&Session, i32)]) -> [Array; 3] {
    [0, 1, 2].map(|part| {
        let tokens: Vec<Array> =
            sessions.iter().map(|(session, place)| session.tokens(*place..*place + 1)[part].clone()).collect();
        concatenate(&tokens, 0).unwrap()
    })
}

fn check_all(given: &Array, sessions: &[(&Session, i32)]) {
    for (row, (session, place)) in (0..).zip(sessions) {
        session.check(&given.try_index(row..row + 1).unwrap(), *place..*place + 1);
    }
}

/// What attention in place gives for the next tokens of several sessions; none where there is no kernel for that.
fn attend_in_place(step: InPlaceStep<'_, '_>, [queries, keys, values]: [&Array; 3]) -> Option<Array> {
    let mut step = step;
    let is_possible = attends_in_place(queries.dtype(), SETTINGS);
    is_possible.then(|| step.attend(0, queries, keys, values, SETTINGS).unwrap())
}

fn places_held(cache: &KvCache) -> i32 {
    cache.arrays().next().unwrap().dim(2)
}

#[test]
fn a_layer_with_a_window_holds_little_more_than_that() {
    let session = Session::new(1, 1200);
    let mut cache = session.prefilled(700, 100);
    assert!(places_held(&cache) <= WINDOW + 100 + GROWTH, "{}", places_held(&cache));
    for place in 700..1200 {
        let [queries, keys, values] = session.tokens(place..place + 1);
        let given = OwnStep(&mut cache).attend(0, &queries, &keys, &values, SETTINGS).unwrap();
        session.check(&given, place..place + 1);
        cache.advance(1);
    }
    assert!(places_held(&cache) <= WINDOW + GROWTH, "{}", places_held(&cache));
    assert!(cache.beginning(600).is_none(), "its first tokens are gone");
    assert_eq!(cache.beginning(1200).unwrap().length(), 1200);
}

#[test]
fn sessions_attended_in_place_get_their_own_long_after_the_window() {
    let sessions = [Session::new(9, 1600), Session::new(10, 1600)];
    let mut caches = [300, 40].map(|expected| {
        let mut cache = KvCache::in_place(&SHAPE).unwrap();
        cache.expect(expected);
        cache
    });
    // One is read in chunks until it is longer than expected, then both take steps, side by side and with padding.
    for place in (0..700).step_by(100) {
        let part = PromptPart { session: 0, start: place, tokens: 100, rows: 100 };
        let tokens = sessions[0].tokens(place..place + 100);
        let given = attend_in_place(InPlaceStep::prefill(&mut [&mut caches[0]], &[part]), tokens.each_ref());
        let Some(given) = given else { return };
        sessions[0].check(&given, place..place + 100);
        caches[0].advance(100);
    }
    for step in 0..800 {
        let rows = [(&sessions[0], 700 + step), (&sessions[1], step), (&sessions[1], 0)];
        let [one, other] = &mut caches;
        let given = attend_in_place(InPlaceStep::decode(&mut [one, other], 3), side_by_side(&rows).each_ref());
        check_all(&given.unwrap(), &rows[..2]);
        caches.iter_mut().for_each(|cache| cache.advance(1));
    }
    assert!(caches.iter().all(|cache| places_held(cache) <= WINDOW + 2 * GROWTH));
}

#[test]
fn copies_of_a_cache_go_on_by_themselves_though_tokens_are_written_in_place() {
    let [one, other] = [Session::new(11, 40), Session::new(12, 40)];
    let mut cache = KvCache::in_place(&SHAPE).unwrap();
    let step = |cache: &mut KvCache, session: &Session, place: i32| {
        let given = attend_in_place(InPlaceStep::decode(&mut [cache], 1), session.tokens(place..place + 1).each_ref());
        cache.advance(1);
        given.inspect(|given| session.check(given, place..place + 1))
    };
    for place in 0..20 {
        if step(&mut cache, &one, place).is_none() {
            return;
        }
    }
    // In turns, so that each would read what the other one wrote last.
    let mut copy = cache.clone();
    let both = [0, 1, 2]
        .map(|part| concatenate(&[one.tokens(0..20)[part].clone(), other.tokens(20..40)[part].clone()], 0).unwrap());
    let expected = read(&mut KvCache::new(&SHAPE).unwrap(), both.each_ref());
    for place in 20..40 {
        step(&mut cache, &one, place);
        let tokens = other.tokens(place..place + 1);
        let given = attend_in_place(InPlaceStep::decode(&mut [&mut copy], 1), tokens.each_ref()).unwrap();
        copy.advance(1);
        let far = given.subtract(expected.try_index(place..place + 1).unwrap()).unwrap().abs().unwrap();
        assert!(far.max(None).unwrap().item_exact::<f32>() < 1e-5, "token {place} of the copy");
    }
}

#[test]
fn a_cache_that_is_cut_reads_the_same_tokens_again() {
    let session = Session::new(13, 40);
    let mut cache = KvCache::in_place(&SHAPE).unwrap();
    for (start, tokens) in [(0, 15), (15, 20), (15, 25)] {
        cache.cut(start);
        let part = PromptPart { session: 0, start, tokens, rows: tokens };
        let tokens_read = session.tokens(start..start + tokens);
        let given = attend_in_place(InPlaceStep::prefill(&mut [&mut cache], &[part]), tokens_read.each_ref());
        let Some(given) = given else { return };
        session.check(&given, start..start + tokens);
        cache.advance(tokens);
    }
}

#[test]
fn sessions_attended_with_a_mask_get_their_own_long_after_the_window() {
    let (one, other, late) = (Session::new(2, 800), Session::new(3, 800), Session::new(4, 1200));
    let mut shared = SharedKvCache::default();
    let mut slots = shared.join_all(&[one.prefilled(300, 100), other.prefilled(40, 40)]).unwrap();
    for step in 0..400 {
        if step == 300 {
            // Longer than all others, which moves them right.
            slots.push(shared.join(&late.prefilled(900, 300)).unwrap());
        }
        let mut rows = vec![(&one, 300 + step), (&other, 40 + step)];
        if step >= 300 {
            rows.push((&late, 600 + step));
        }
        let [queries, keys, values] = side_by_side(&rows);
        let mut attend = PaddedStep::new(&mut shared, &slots, slots.len()).unwrap();
        check_all(&attend.attend(0, &queries, &keys, &values, SETTINGS).unwrap(), &rows);
        attend.finish();
    }
    let mut alone = shared.extract(&slots[1]).unwrap();
    assert_eq!(alone.length(), 440);
    let [queries, keys, values] = other.tokens(440..441);
    other.check(&OwnStep(&mut alone).attend(0, &queries, &keys, &values, SETTINGS).unwrap(), 440..441);
}

#[test]
fn sessions_attended_over_their_own_tokens_get_their_own_long_after_the_window() {
    let (one, other, short) = (Session::new(5, 800), Session::new(6, 800), Session::new(7, 800));
    let late = Session::new(8, 1200);
    let mut caches = ApartCaches::default();
    // Two are equally long, but read in other chunks, so that they hold other places; one leaves half way, and a much
    // longer one joins.
    let mut seats = vec![
        caches.join(&one.prefilled(300, 300)).unwrap(),
        caches.join(&short.prefilled(50, 50)).unwrap(),
        caches.join(&other.prefilled(300, 7)).unwrap(),
    ];
    for step in 0..400 {
        let mut rows = vec![(&one, 300 + step), (&short, 50 + step), (&other, 300 + step)];
        if step == 200 {
            seats.remove(1);
        }
        if step >= 200 {
            rows.remove(1);
        }
        if step == 250 {
            seats.push(caches.join(&late.prefilled(900, 300)).unwrap());
        }
        if step >= 250 {
            rows.push((&late, 650 + step));
        }
        // The rows behind the sessions' are padding.
        let mut with_padding = rows.clone();
        with_padding.resize(4, (&one, 0));
        let [queries, keys, values] = side_by_side(&with_padding);
        let mut attend = UnpaddedStep::new(&mut caches, &seats, 2).unwrap();
        check_all(&attend.attend(0, &queries, &keys, &values, SETTINGS).unwrap(), &rows);
        caches.advance();
    }
    let mut alone = caches.extract(&seats[1]).unwrap();
    let [queries, keys, values] = other.tokens(700..701);
    other.check(&OwnStep(&mut alone).attend(0, &queries, &keys, &values, SETTINGS).unwrap(), 700..701);
}
