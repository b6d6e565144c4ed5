//! What the engine does next: a pure policy over plain data.
//!
//! Every session that can decode takes part in every step. Between two steps there is room for one bounded chunk of
//! prefill, which goes to the sessions in order of arrival and may span several short prompts.
//!
//! A turn is one thing to do. What can only be known once it is done, as how long a pass took or which sessions a step has
//! ended, is in the data of the next turn, so that nothing is decided anywhere else.

use super::pace::{Budget, Pace};
use super::prompt::{PromptRules, common_beginning};
use super::settings::EngineSettings;
use crate::protocol::Execution;

/// A prompt waits for another one to be read where that saves it so many tokens, and at least half of what the other has
/// still to read.
const WORTH_SHARING: usize = 16;

/// Where a prompt is this long, its cache takes about as long to be moved in among the others as a chunk to be read.
const LONG_PROMPT: usize = 512;

/// Where a session stands, as far as the policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It holds no row yet.
    Waiting,
    /// It holds a row whose prompt is not read to its end.
    Prefill,
    /// It holds a row that decodes.
    Decode {
        /// Whether it has taken part in a step.
        has_stepped: bool,
        /// Whether it may take part in another one.
        may_step: bool,
        /// Whether it has let a step of the others pass before its own first one.
        has_waited: bool,
    },
    /// Nobody reads its events any more: it takes part in nothing and is about to give its row back.
    Leaving,
    /// It holds no row any more.
    Ended,
}

impl Stage {
    fn holds_row(self) -> bool {
        matches!(self, Self::Prefill | Self::Decode { .. } | Self::Leaving)
    }
}

/// What the policy knows of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionView<'a> {
    /// Where it stands.
    pub stage: Stage,
    /// How its steps share the device.
    pub execution: Execution,
    /// What is to be prefilled: the prompt but for its last token.
    pub prompt: &'a [u32],
    /// How many of these tokens its row holds; of a waiting session, how many it would hold from the start.
    pub held: usize,
    /// How its prompt may be read.
    pub rules: PromptRules,
}

/// What the policy knows of the steps that are on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Whether a launched step has not been read.
    pub in_flight: bool,
    /// Whether a step is worth launching before the last one was read.
    pub looks_ahead: bool,
}

/// What to do next. Sessions are named by their places in order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Read the steps that are in flight.
    Land,
    /// Read prompts. Nothing is in flight meanwhile, so that the time which it takes is its own.
    Read(Pass),
    /// Launch a decode step of each group; then read the steps that were in flight before.
    Step {
        /// Who steps with whom.
        groups: Vec<Group>,
        /// Sessions that could step and let the others go first, once.
        wait: Vec<usize>,
    },
    /// Nothing: all sessions are about to go.
    Rest,
}

/// One pass over prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// Sessions that get a row, before anything is read.
    pub open: Vec<usize>,
    /// What is read, in one go. Sessions of [`Pass::open`] that have no piece hold their whole prompts from the start.
    pub pieces: Vec<Piece>,
    /// What the pass was planned with.
    pub budget: Budget,
}

/// What is read of one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose prompt.
    pub session: usize,
    /// How many tokens; at least 1.
    pub tokens: usize,
}

/// Sessions that share one decode step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their execution.
    pub execution: Execution,
    /// Who; a serialized session is alone.
    pub sessions: Vec<usize>,
}

/// What to do next with `sessions`, which are in order of arrival.
pub fn plan(sessions: &[SessionView<'_>], settings: &EngineSettings, pace: &Pace, flight: Flight) -> Turn {
    if let Some(budget) = budget_to_read(sessions, settings, pace) {
        return if flight.in_flight { Turn::Land } else { Turn::Read(pass(sessions, settings, budget)) };
    }
    let (groups, wait) = step(sessions);
    match () {
        () if flight.in_flight && (groups.is_empty() || !flight.looks_ahead) => Turn::Land,
        () if groups.is_empty() => Turn::Rest,
        () => Turn::Step { groups, wait },
    }
}

/// How many sessions more may get a row.
pub fn free_rows(stages: impl Iterator<Item = Stage>, settings: &EngineSettings) -> usize {
    settings.max_running.max(1).saturating_sub(stages.filter(|stage| stage.holds_row()).count())
}

/// What may be read of prompts now; none where the next step comes first.
fn budget_to_read(sessions: &[SessionView<'_>], settings: &EngineSettings, pace: &Pace) -> Option<Budget> {
    let stages = || sessions.iter().map(|session| session.stage);
    let can_open = free_rows(stages(), settings) > 0 && stages().any(|stage| stage == Stage::Waiting);
    let can_read = can_open || stages().any(|stage| stage == Stage::Prefill);
    let streams_run = stages().any(|stage| matches!(stage, Stage::Decode { .. }));
    // Streams are held up once by a long prompt's last chunk, and not again before its first step, which does so too.
    let somebody_waits =
        stages().any(|stage| matches!(stage, Stage::Decode { has_waited: true, has_stepped: false, may_step: true }));
    let budget = pace.budget(settings, streams_run);
    (can_read && !somebody_waits && budget.left() > 0).then_some(budget)
}

/// The next pass over prompts, in order of arrival: one, or several of one execution that can be read at once. A prompt that
/// would gain by waiting for another's beginning is left for later, and so are those behind it.
fn pass(sessions: &[SessionView<'_>], settings: &EngineSettings, budget: Budget) -> Pass {
    let mut free = free_rows(sessions.iter().map(|session| session.stage), settings);
    let mut left = budget.left();
    let mut pass = Pass { open: Vec::new(), pieces: Vec::new(), budget };
    for (place, session) in sessions.iter().enumerate() {
        let opens = session.stage == Stage::Waiting;
        if !(opens && free > 0 || session.stage == Stage::Prefill) {
            continue;
        }
        let is_first = pass.pieces.is_empty();
        let fits = |piece: &Piece| {
            let other = &sessions[piece.session];
            other.execution == session.execution && !(opens && gains_by_waiting(session, other))
        };
        if !is_first && (left == 0 || !session.rules.together || !pass.pieces.iter().all(fits)) {
            break;
        }
        let tokens = session.rules.pass(session.held, session.prompt.len(), left);
        if !is_first && tokens > left {
            break;
        }
        if opens {
            free -= 1;
            pass.open.push(place);
        }
        if tokens > 0 {
            left = left.saturating_sub(tokens);
            pass.pieces.push(Piece { session: place, tokens });
        }
    }
    pass
}

/// Whether a waiting session should wait until `other`'s prompt is read, because it can take much of it over then.
fn gains_by_waiting(session: &SessionView<'_>, other: &SessionView<'_>) -> bool {
    let shared = common_beginning(other.prompt, session.prompt, session.rules.cut);
    let (gained, unread) = (shared.saturating_sub(session.held), other.prompt.len().saturating_sub(other.held));
    gained >= WORTH_SHARING && unread <= 2 * gained
}

/// Who steps with whom, and who lets this step pass: a long prompt's last chunk and its cache's move in among the others
/// hold streams up one at a time.
fn step(sessions: &[SessionView<'_>]) -> (Vec<Group>, Vec<usize>) {
    let steps = |stage| matches!(stage, Stage::Decode { may_step: true, .. });
    let has_stepped = |stage| matches!(stage, Stage::Decode { may_step: true, has_stepped: true, .. });
    let is_new = |stage| matches!(stage, Stage::Decode { has_stepped: false, has_waited: false, .. });
    let others_run = sessions.iter().any(|session| has_stepped(session.stage));
    let waits = |session: &SessionView<'_>| others_run && is_new(session.stage) && session.prompt.len() >= LONG_PROMPT;
    let able = || sessions.iter().enumerate().filter(|(_, session)| steps(session.stage));
    let mut groups = Vec::new();
    for execution in Execution::ALL {
        let stepping = able().filter(|(_, session)| session.execution == execution && !waits(session));
        let stepping: Vec<usize> = stepping.map(|(place, _)| place).collect();
        let width = if execution == Execution::Serialized { 1 } else { stepping.len().max(1) };
        groups.extend(stepping.chunks(width).map(|sessions| Group { execution, sessions: sessions.to_vec() }));
    }
    (groups, able().filter(|(_, session)| waits(session)).map(|(place, _)| place).collect())
}
