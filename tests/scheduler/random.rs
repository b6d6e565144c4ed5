//! What holds of every plan: sessions that come, share, leave and end at random, on devices of random pace and rules.

use llmeval::engine::scheduler::{Flight, Group, Pass, SessionView, Stage, Turn, plan};
use llmeval::engine::{EngineSettings, Pace, PromptRules, common_beginning};
use llmeval::protocol::Execution;
use std::time::Duration;

const RUNS: u64 = 400;
/// A pass takes up to this much longer than the device's pace says.
const JITTER: f64 = 1.3;
/// Chunks are no shorter than this, whatever the stall budget, and the first ones no longer than before a measurement.
const SHORT_CHUNK: usize = 32;

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

struct Session {
    /// The turn at which it comes.
    arrives: usize,
    execution: Execution,
    prompt: Vec<u32>,
    /// Tokens of its answer, the last of which may come early.
    answer: usize,
    held: usize,
    launched: usize,
    landed: usize,
    has_waited: bool,
    stage: Holds,
}

#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Nothing,
    Row,
    NothingAnyMore,
    RowUntilItLeaves,
}

impl Session {
    fn random(random: &mut Random) -> Self {
        let length = match random.below(4) {
            0 => random.below(8),
            1 => 512 + random.below(1500),
            _ => 20 + random.below(120),
        };
        // A few beginnings that many share.
        let (family, shared) = (random.below(3) as u32, random.below(length + 1));
        let own = random.below(4) as u32;
        let token = |place: usize| if place < shared { family } else { 10 + own };
        Self {
            arrives: random.below(60),
            execution: Execution::ALL[random.below(3)],
            prompt: (0..length).map(token).collect(),
            answer: 1 + random.below(30),
            held: 0,
            launched: 0,
            landed: 0,
            has_waited: false,
            stage: Holds::Nothing,
        }
    }

    fn stage(&self) -> Stage {
        match self.stage {
            Holds::Nothing => Stage::Waiting,
            Holds::Row if self.held < self.prompt.len() => Stage::Prefill,
            Holds::Row => Stage::Decode {
                has_stepped: self.launched > 0,
                may_step: self.launched < self.answer,
                has_waited: self.has_waited,
            },
            Holds::RowUntilItLeaves => Stage::Leaving,
            Holds::NothingAnyMore => Stage::Ended,
        }
    }
}

struct Device {
    random: Random,
    settings: EngineSettings,
    looks_ahead: bool,
    seconds_per_token: f64,
    exact: PromptRules,
    /// Prompts that were read to their end.
    kept: Vec<(Execution, Vec<u32>)>,
    /// All sessions that came, in order of arrival.
    here: Vec<Session>,
    /// Whose steps are on the device.
    in_flight: Vec<usize>,
    pace: Pace,
    /// Seconds for which streams were held up since the last step.
    held_up: f64,
    /// Steps since the last pass, while there was something to read.
    steps_unread: usize,
}

impl Device {
    fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let exact = [
            PromptRules { cut: 1, stops_at_cut: false, together: true },
            PromptRules { cut: 24, stops_at_cut: false, together: true },
            PromptRules { cut: 128, stops_at_cut: true, together: false },
        ];
        let settings = EngineSettings {
            max_running: 1 + random.below(8),
            max_stall: Duration::from_millis(20 + random.below(400) as u64),
            max_chunk: 16 + random.below(600),
            ..EngineSettings::default()
        };
        Self {
            settings,
            looks_ahead: random.one_in(2),
            seconds_per_token: [1e-5, 1e-4, 1e-3, 1e-2][random.below(4)],
            exact: exact[random.below(3)],
            random,
            kept: Vec::new(),
            here: Vec::new(),
            in_flight: Vec::new(),
            pace: Pace::default(),
            held_up: 0.0,
            steps_unread: 0,
        }
    }

    fn rules(&self, execution: Execution) -> PromptRules {
        match execution {
            Execution::Serialized => PromptRules { cut: 1, stops_at_cut: false, together: false },
            Execution::Batched => PromptRules { cut: 1, stops_at_cut: false, together: true },
            Execution::Exact => self.exact,
        }
    }

    fn views(&self) -> Vec<SessionView<'_>> {
        let views = self.here.iter().map(|session| {
            let Session { execution, prompt, .. } = session;
            let rules = self.rules(*execution);
            let kept = self.kept.iter().filter(|(of, _)| of == execution);
            let known = kept.map(|(_, kept)| common_beginning(kept, prompt, rules.cut)).max().unwrap_or(0);
            let held = if session.stage == Holds::Nothing { known } else { session.held };
            SessionView { stage: session.stage(), execution: *execution, prompt, held, rules }
        });
        views.collect()
    }

    /// Does one turn, once it has been found right.
    fn turn(&mut self) {
        let flight = Flight { in_flight: !self.in_flight.is_empty(), looks_ahead: self.looks_ahead };
        let views = self.views();
        let turn = plan(&views, &self.settings, &self.pace, flight);
        let reads = views.iter().any(|view| view.stage == Stage::Prefill)
            || rows(&views) < self.settings.max_running && views.iter().any(|view| view.stage == Stage::Waiting);
        match &turn {
            Turn::Read(pass) => check_pass(&views, pass, &self.settings, flight),
            Turn::Step { groups, wait } => check_step(&views, groups, wait, flight),
            Turn::Land => assert!(flight.in_flight),
            Turn::Rest => {
                let is_over = |view: &SessionView<'_>| matches!(view.stage, Stage::Ended | Stage::Leaving);
                assert!(!flight.in_flight && views.iter().all(is_over), "a session is left standing");
            }
        }
        match turn {
            Turn::Read(pass) => self.read(&pass),
            Turn::Step { groups, wait } => {
                self.steps_unread = if reads { self.steps_unread + 1 } else { 0 };
                assert!(self.steps_unread <= 2, "a prompt waits for more than a step and one of a long prompt");
                self.check_stall();
                self.held_up = 0.0;
                self.pace.has_stepped();
                wait.iter().for_each(|place| self.here[*place].has_waited = true);
                let before = std::mem::take(&mut self.in_flight);
                for place in groups.iter().flat_map(|group| &group.sessions) {
                    self.here[*place].launched += 1;
                    self.in_flight.push(*place);
                }
                self.land(before);
            }
            Turn::Land => {
                let in_flight = std::mem::take(&mut self.in_flight);
                self.land(in_flight);
            }
            Turn::Rest => {}
        }
    }

    fn read(&mut self, pass: &Pass) {
        self.steps_unread = 0;
        let known: Vec<usize> = self.views().iter().map(|view| view.held).collect();
        for place in &pass.open {
            (self.here[*place].stage, self.here[*place].held) = (Holds::Row, known[*place]);
        }
        let tokens: usize = pass.pieces.iter().map(|piece| piece.tokens).sum();
        let jitter = 1.0 + (JITTER - 1.0) * self.random.below(100) as f64 / 100.0;
        let seconds = tokens as f64 * self.seconds_per_token * jitter;
        self.pace.has_read(&self.settings, pass.budget, tokens, Duration::from_secs_f64(seconds));
        if self.here.iter().any(|session| session.stage == Holds::Row && session.launched > 0) {
            self.held_up += seconds;
        }
        for piece in &pass.pieces {
            let session = &mut self.here[piece.session];
            session.held += piece.tokens;
            if session.held == session.prompt.len() {
                self.kept.push((session.execution, session.prompt.clone()));
            }
        }
    }

    /// Streams were held up no longer than their budget, but for the shortest chunk and for the next cut of each piece.
    fn check_stall(&self) {
        let cut = if self.exact.cut > 1 { 2 * self.exact.cut } else { 0 };
        let slack = (SHORT_CHUNK + cut) as f64 * self.seconds_per_token * JITTER;
        let budget = self.settings.max_stall.as_secs_f64();
        assert!(self.held_up <= budget + slack, "{} s, {budget} s were allowed", self.held_up);
    }

    fn land(&mut self, places: Vec<usize>) {
        for place in places {
            let ends_early = self.random.one_in(20);
            let session = &mut self.here[place];
            session.landed += 1;
            if session.stage == Holds::Row && (ends_early || session.landed == session.answer) {
                session.stage = Holds::NothingAnyMore;
            }
        }
    }

    /// Somebody's reader goes, now and then.
    fn cancel_some(&mut self) {
        for session in &mut self.here {
            if self.random.one_in(150) {
                session.stage = match session.stage {
                    Holds::Nothing | Holds::NothingAnyMore => Holds::NothingAnyMore,
                    Holds::Row | Holds::RowUntilItLeaves => Holds::RowUntilItLeaves,
                };
            }
        }
    }

    /// Lets sessions go whose steps have landed.
    fn retire(&mut self) {
        for session in &mut self.here {
            if session.stage == Holds::RowUntilItLeaves && session.landed == session.launched {
                session.stage = Holds::NothingAnyMore;
            }
        }
    }
}

fn rows(views: &[SessionView<'_>]) -> usize {
    let holds_row = |view: &&SessionView<'_>| !matches!(view.stage, Stage::Waiting | Stage::Ended);
    views.iter().filter(holds_row).count()
}

fn check_pass(views: &[SessionView<'_>], pass: &Pass, settings: &EngineSettings, flight: Flight) {
    assert!(!flight.in_flight, "a pass is measured beside a step");
    assert!(!pass.open.is_empty() || !pass.pieces.is_empty(), "nothing is read");
    assert!(rows(views) + pass.open.len() <= settings.max_running.max(1));
    let waiting: Vec<usize> = (0..views.len()).filter(|place| views[*place].stage == Stage::Waiting).collect();
    assert!(waiting.starts_with(&pass.open), "somebody was overtaken");
    let readers = |place: &usize| views[*place].stage == Stage::Prefill || pass.open.contains(place);
    let has_more = |place: &usize| views[*place].held < views[*place].prompt.len();
    let candidates: Vec<usize> = (0..views.len()).filter(readers).filter(has_more).collect();
    let read: Vec<usize> = pass.pieces.iter().map(|piece| piece.session).collect();
    assert!(candidates.starts_with(&read), "somebody was overtaken");
    let mut left = pass.budget.left();
    for (index, piece) in pass.pieces.iter().enumerate() {
        let SessionView { held, prompt, rules, execution, .. } = views[piece.session];
        let end = held + piece.tokens;
        assert!(piece.tokens > 0 && end <= prompt.len());
        assert!(end == prompt.len() || end.is_multiple_of(rules.cut), "cut at {end}");
        assert!(!rules.stops_at_cut || piece.tokens <= rules.cut);
        assert!(piece.tokens <= left || index == 0 && piece.tokens <= left.max(rules.cut));
        assert!(index == 0 || rules.together && execution == views[pass.pieces[0].session].execution);
        left = left.saturating_sub(piece.tokens);
    }
    check_wait_to_share(views, pass, settings, left);
}

/// The first session that got no row, though one was free and it could have been read in the pass, gains by waiting.
fn check_wait_to_share(views: &[SessionView<'_>], pass: &Pass, settings: &EngineSettings, left: usize) {
    let next = (0..views.len()).find(|place| views[*place].stage == Stage::Waiting && !pass.open.contains(place));
    let (Some(next), true) = (next, rows(views) + pass.open.len() < settings.max_running) else { return };
    let next = &views[next];
    let Some(first) = pass.pieces.first() else { panic!("nobody waits for nothing") };
    // Somebody before it had no piece although there was more to read.
    let is_held_up = views
        .iter()
        .enumerate()
        .any(|(place, view)| view.stage == Stage::Prefill && !pass.pieces.iter().any(|piece| piece.session == place));
    let fits = next.rules.pass(next.held, next.prompt.len(), left.max(1)) <= left && left > 0;
    if is_held_up || !fits || !next.rules.together || next.execution != views[first.session].execution {
        return;
    }
    let gains = pass.pieces.iter().any(|piece| {
        let other = &views[piece.session];
        let shared = common_beginning(other.prompt, next.prompt, next.rules.cut);
        let (gained, unread) = (shared.saturating_sub(next.held), other.prompt.len() - other.held);
        gained >= 16 && 2 * gained >= unread
    });
    assert!(gains, "a prompt waits and gains nothing");
}

fn check_step(views: &[SessionView<'_>], groups: &[Group], wait: &[usize], flight: Flight) {
    assert!(flight.looks_ahead || !flight.in_flight, "a step is launched before the last one was read");
    let mut stepping: Vec<usize> = groups.iter().flat_map(|group| group.sessions.clone()).collect();
    for group in groups {
        assert!(group.sessions.iter().all(|place| views[*place].execution == group.execution));
        assert!(group.execution != Execution::Serialized || group.sessions.len() == 1);
    }
    let executions: Vec<Execution> = groups.iter().map(|group| group.execution).collect();
    let of = |wanted| executions.iter().filter(|execution| **execution == wanted).count();
    assert!(of(Execution::Batched) <= 1 && of(Execution::Exact) <= 1, "sessions that could share a step don't");
    let has_stepped = |place: &usize| matches!(views[*place].stage, Stage::Decode { has_stepped: true, .. });
    for place in wait {
        let is_new = matches!(views[*place].stage, Stage::Decode { has_stepped: false, has_waited: false, .. });
        assert!(is_new && views[*place].prompt.len() >= 512, "who waits is new, has a long prompt, and waits once");
        assert!(stepping.iter().any(has_stepped), "nobody's step passes");
    }
    stepping.extend(wait);
    stepping.sort_unstable();
    let able = |place: &usize| matches!(views[*place].stage, Stage::Decode { may_step: true, .. });
    let able: Vec<usize> = (0..views.len()).filter(able).collect();
    assert_eq!(stepping, able, "everyone who can steps, or waits this once");
}

#[test]
fn every_plan_keeps_its_promises_and_every_session_comes_to_its_end() {
    for seed in 0..RUNS {
        let told = std::panic::catch_unwind(|| run(seed));
        assert!(told.is_ok(), "with seed {seed}");
    }
}

fn run(seed: u64) {
    let mut device = Device::random(seed);
    let count = 1 + device.random.below(24);
    let mut coming: Vec<Session> = (0..count).map(|_| Session::random(&mut device.random)).collect();
    coming.sort_by_key(|session| session.arrives);
    let work: usize = coming.iter().map(|session| session.prompt.len() + session.answer + 1).sum();
    let mut coming = coming.into_iter().peekable();
    let mut turns = 0;
    loop {
        while let Some(session) = coming.next_if(|session| session.arrives <= turns) {
            device.here.push(session);
        }
        device.cancel_some();
        device.retire();
        let is_over = device.here.iter().all(|session| session.stage == Holds::NothingAnyMore);
        if is_over && coming.peek().is_none() && device.in_flight.is_empty() {
            break;
        }
        device.turn();
        turns += 1;
        assert!(turns < 100 + 3 * work, "it goes on without end");
    }
}
