//! The engine's loop: commands, one decode step for all sessions, one bounded prefill chunk.

use super::guard::{Failure, guarded};
use super::handle::Command;
use super::session::Session;
use super::{Backend, EngineSettings, PrefillPace, Stage, next_prefill};
use crate::protocol::{Execution, FinishReason, MemoryFigures};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// What the engine's thread owns.
pub(super) struct Worker<B: Backend> {
    backend: B,
    settings: EngineSettings,
    commands: Receiver<Command>,
    memory: watch::Sender<MemoryFigures>,
    /// All sessions in order of arrival.
    sessions: Vec<Session<B::Row>>,
    pace: PrefillPace,
    /// Prompt tokens that may still be read before the first step, as long as nobody has seen a token yet: sessions
    /// that start together are submitted one after the other.
    opening: usize,
    /// Whether a session let the step just launched pass before its own first one.
    somebody_waits: bool,
    next_ticket: u64,
}

/// A launched step, or why there is none, and whose rows are in it.
struct InFlight<S> {
    step: Result<S, Failure>,
    tickets: Vec<u64>,
}

/// A prompt waits for another one to be read where that saves it so many tokens, and at least half of what the other has
/// still to read.
const WORTH_SHARING: usize = 16;

/// Why the loop ends.
enum Exit {
    /// Nobody can send commands any more.
    Abandoned,
    /// Someone waits for the model to be gone.
    Shutdown(oneshot::Sender<()>),
}

impl<B: Backend> Worker<B> {
    pub fn new(
        backend: B,
        settings: EngineSettings,
        commands: Receiver<Command>,
        memory: watch::Sender<MemoryFigures>,
    ) -> Self {
        memory.send_replace(backend.memory());
        let pace = PrefillPace::default();
        Self {
            backend,
            settings,
            commands,
            memory,
            sessions: Vec::new(),
            pace,
            opening: 0,
            somebody_waits: false,
            next_ticket: 0,
        }
    }

    /// Works until shut down or abandoned. Each step is launched before the one before it is read, so that the device
    /// never waits for the host.
    pub fn run(mut self) {
        let mut in_flight = Vec::new();
        let exit = loop {
            if let Some(exit) = self.drain_commands() {
                break exit;
            }
            let launched = if self.opening > 0 && self.next_prefill(1).is_some() { Vec::new() } else { self.launch() };
            self.read(in_flight);
            if self.next_prefill(1).is_some() || !self.backend.looks_ahead() {
                // Nothing else is on the device while a chunk of prefill runs, so that the measured pace is its own.
                self.read(launched);
                if !self.somebody_waits {
                    self.prefill();
                }
                in_flight = Vec::new();
            } else {
                in_flight = launched;
            }
            self.retire();
        };
        drop(in_flight);
        self.sessions.iter_mut().for_each(|session| session.end(FinishReason::Cancelled, None));
        self.retire();
        drop(self);
        if let Exit::Shutdown(done) = exit {
            let _ = done.send(());
        }
    }

    /// Acts on all commands that are here; waits for one where there is no session.
    fn drain_commands(&mut self) -> Option<Exit> {
        loop {
            let command = if self.sessions.is_empty() {
                self.commands.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.commands.try_recv()
            };
            match command {
                Ok(Command::Submit { request, execution, events }) => {
                    let context = self.backend.context_length();
                    self.sessions.push(Session::new(self.next_ticket, request, execution, events, context));
                    self.next_ticket += 1;
                }
                Ok(Command::Configure(settings)) => self.settings = settings,
                Ok(Command::SetCacheLimit(bytes)) => self.set_cache_limit(bytes),
                Ok(Command::ResetPeakMemory(done)) => {
                    self.backend.reset_peak_memory();
                    self.publish_memory();
                    let _ = done.send(());
                }
                Ok(Command::Shutdown(done)) => return Some(Exit::Shutdown(done)),
                Err(TryRecvError::Disconnected) if self.sessions.is_empty() => return Some(Exit::Abandoned),
                Err(TryRecvError::Disconnected | TryRecvError::Empty) => return None,
            }
        }
    }

    /// Launches one decode step for every session that can take part.
    fn launch(&mut self) -> Vec<InFlight<B::Step>> {
        self.opening = 0;
        // A long prompt's last chunk and its cache's move in among the others hold streams up one at a time.
        let others_run = self.sessions.iter().any(Session::has_stepped);
        let lets_pass =
            self.sessions.iter_mut().filter_map(|session| session.lets_one_pass().then_some(session.ticket));
        let waiting: Vec<u64> = lets_pass.filter(|_| others_run).collect();
        self.somebody_waits = !waiting.is_empty();
        let mut steps = Vec::new();
        for execution in Execution::ALL {
            let mut group: Vec<_> = self
                .sessions
                .iter_mut()
                .filter(|session| session.execution == execution && !session.is_cancelled())
                .filter(|session| !waiting.contains(&session.ticket))
                .filter_map(|session| session.decode_row().is_some().then_some(session))
                .collect();
            let width = if execution == Execution::Serialized { 1 } else { group.len().max(1) };
            for sessions in group.chunks_mut(width) {
                launch_together(&mut self.backend, sessions, execution, &mut steps);
            }
        }
        steps
    }

    /// Waits for launched steps and hands out their tokens.
    fn read(&mut self, steps: Vec<InFlight<B::Step>>) {
        for InFlight { step, tickets } in steps {
            let outputs = step.and_then(|step| guarded(|| self.backend.read(step)));
            let at = Instant::now();
            for (index, ticket) in tickets.iter().enumerate() {
                let Some(session) = self.sessions.iter_mut().find(|session| session.ticket == *ticket) else {
                    continue;
                };
                match &outputs {
                    Ok(outputs) => match outputs.get(index) {
                        Some(output) => session.take(*output, at),
                        None => session.fail(&Failure::missing_output()),
                    },
                    Err(failure) => session.fail(failure),
                }
            }
        }
    }

    /// Reads one bounded chunk of prompts.
    fn prefill(&mut self) {
        let streams_running = self.sessions.iter().any(|session| session.stage() == Stage::Decode);
        if !streams_running {
            self.opening = self.settings.max_chunk;
        }
        if self.opening > 0 {
            self.opening = self.read_prompts(self.opening);
            return;
        }
        let started = Instant::now();
        let chunk = self.pace.chunk_tokens(&self.settings, true);
        let first = PrefillPace::first_piece(&self.settings, chunk);
        let left = chunk - first + self.read_prompts(first);
        let second = self.pace.second_piece(&self.settings, left, started.elapsed());
        self.read_prompts(second);
    }

    /// Reads up to `budget` tokens of prompts, in order of arrival; says how many of them it had no use for.
    fn read_prompts(&mut self, mut budget: usize) -> usize {
        while let Some(chunk) = self.next_prefill(budget) {
            let started = Instant::now();
            let read = match self.choose_prompts(budget).as_slice() {
                [] if self.next_prefill(budget) == Some(chunk) => break,
                [] => continue,
                [(ticket, tokens)] => self.prefill_one(*ticket, *tokens),
                chosen => self.prefill_together(chosen),
            };
            self.pace.record(budget, read, started.elapsed());
            budget = budget.saturating_sub(read);
        }
        budget
    }

    /// Sessions that are next to read their prompts, in order of arrival, with how many tokens of each: one, or several
    /// of one execution that can be read at once. All of them hold a row then. A prompt that would gain by waiting for
    /// another's beginning is left for later.
    fn choose_prompts(&mut self, budget: usize) -> Vec<(u64, usize)> {
        let holds_row = |session: &Session<B::Row>| matches!(session.stage(), Stage::Prefill | Stage::Decode);
        let mut running = self.sessions.iter().filter(|session| holds_row(session)).count();
        let (mut chosen, mut left): (Vec<(u64, usize)>, usize) = (Vec::new(), budget);
        // Prompts of the chosen ones, how much of them is unread, and how they run.
        let mut prompts: Vec<(Arc<[u32]>, usize, Execution)> = Vec::new();
        for session in self.sessions.iter_mut().filter(|session| !session.is_cancelled()) {
            let (stage, execution) = (session.stage(), session.execution);
            let is_full = stage == Stage::Waiting && running >= self.settings.max_running.max(1);
            if !matches!(stage, Stage::Waiting | Stage::Prefill) || is_full {
                continue;
            }
            let prompt = Arc::clone(session.prompt());
            let is_first = prompts.is_empty();
            let own = &prompt[..prompt.len() - 1];
            let known = if is_first { 0 } else { self.backend.known(own, execution) };
            let fits = |(other, unread, others): &(Arc<[u32]>, usize, Execution)| {
                let shared = self.backend.shareable(&other[..other.len() - 1], own, execution);
                let gained = shared.saturating_sub(known);
                let would_wait = stage == Stage::Waiting && gained >= WORTH_SHARING && *unread <= 2 * gained;
                *others == execution && !would_wait
            };
            if left == 0 || !(is_first || self.backend.reads_together(execution) && prompts.iter().all(fits)) {
                break;
            }
            if stage == Stage::Waiting {
                if let Err(failure) = guarded(|| session.open(&mut self.backend)) {
                    session.fail(&failure);
                    continue;
                }
                running += 1;
            }
            let tokens = session.next_chunk(&self.backend, left);
            if tokens == 0 {
                session.has_read(&self.backend, 0);
                continue;
            }
            if tokens > left && !is_first {
                break;
            }
            left = left.saturating_sub(tokens);
            prompts.push((prompt, session.unread(&self.backend), execution));
            chosen.push((session.ticket, tokens));
        }
        chosen
    }

    /// Reads up to `tokens` of the chosen prompt; says how many were read.
    fn prefill_one(&mut self, ticket: u64, tokens: usize) -> usize {
        let Some(session) = self.sessions.iter_mut().find(|session| session.ticket == ticket) else { return 0 };
        guarded(|| session.prefill(&mut self.backend, tokens)).unwrap_or_else(|failure| {
            session.fail(&failure);
            0
        })
    }

    /// Reads the chosen prompts at once; says how many tokens were read.
    fn prefill_together(&mut self, chosen: &[(u64, usize)]) -> usize {
        let tokens_of = |ticket| chosen.iter().find(|(chosen, _)| *chosen == ticket).map(|(_, tokens)| *tokens);
        let mut rows: Vec<(&mut B::Row, usize)> = Vec::with_capacity(chosen.len());
        for session in &mut self.sessions {
            if let Some(tokens) = tokens_of(session.ticket)
                && let Some(row) = session.reading_row()
            {
                rows.push((row, tokens));
            }
        }
        let read = guarded(|| self.backend.prefill_together(&mut rows));
        let sessions = self.sessions.iter_mut().filter(|session| tokens_of(session.ticket).is_some());
        match read {
            Ok(read) => {
                for (session, read) in sessions.zip(&read) {
                    session.has_read(&self.backend, *read);
                }
                read.iter().sum()
            }
            Err(failure) if failure.panicked => {
                sessions.for_each(|session| session.fail(&failure));
                0
            }
            // Only those end whose own prompt can't be read.
            Err(_) => {
                let mut read = 0;
                for session in sessions {
                    let tokens = tokens_of(session.ticket).unwrap_or_default();
                    match guarded(|| session.prefill(&mut self.backend, tokens)) {
                        Ok(own) => read += own,
                        Err(failure) => session.fail(&failure),
                    }
                }
                read
            }
        }
    }

    fn next_prefill(&self, budget: usize) -> Option<super::PrefillChunk> {
        let stages = self.sessions.iter().map(|session| match session.is_cancelled() {
            true => Stage::Ended,
            false => session.stage(),
        });
        next_prefill(stages, self.settings.max_running.max(1), budget)
    }

    /// Lets the sessions go that have ended or that nobody reads any more.
    fn retire(&mut self) {
        self.publish_memory();
        self.sessions.retain_mut(Session::stays);
    }

    fn set_cache_limit(&mut self, bytes: u64) {
        if let Err(failure) = guarded(|| self.backend.set_cache_limit(bytes)) {
            tracing::warn!(?failure, bytes, "the cache limit could not be set");
        }
    }

    fn publish_memory(&mut self) {
        self.memory.send_replace(self.backend.memory());
    }
}

/// Launches one step for `sessions` together. Where that gives an error, each is launched alone, so that only those
/// end whose own row fails; after a panic the rows can't be trusted and all of them end.
fn launch_together<B: Backend>(
    backend: &mut B,
    sessions: &mut [&mut Session<B::Row>],
    execution: Execution,
    steps: &mut Vec<InFlight<B::Step>>,
) {
    let launched = guarded(|| {
        let mut rows: Vec<_> = sessions.iter_mut().filter_map(|session| session.decode_row()).collect();
        backend.launch(&mut rows, execution)
    });
    match &launched {
        Ok(_) => sessions.iter_mut().for_each(|session| session.step_launched()),
        Err(failure) if sessions.len() > 1 && !failure.panicked => {
            return sessions.chunks_mut(1).for_each(|alone| launch_together(backend, alone, execution, steps));
        }
        // Tokens of earlier steps are still to come, so the failure waits for its turn to be read.
        Err(_) => sessions.iter_mut().for_each(|session| session.launch_no_more()),
    }
    steps.push(InFlight { step: launched, tickets: sessions.iter().map(|session| session.ticket).collect() });
}
