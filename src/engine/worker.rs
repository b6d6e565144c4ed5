//! The engine's loop: takes commands in, has the next turn planned, does it, lets sessions go. Decides nothing.

use super::backend::Backend;
use super::command::{Command, Wishes};
use super::guard::guarded;
use super::pace::Pace;
use super::reading;
use super::scheduler::{Flight, Pass, Stage, Turn, free_rows, plan};
use super::session::Session;
use super::steps::{InFlight, land, launch};
use crate::protocol::{FinishReason, MemoryFigures};
use std::time::Instant;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

/// What the engine's thread owns.
pub(super) struct Worker<B: Backend> {
    backend: B,
    commands: mpsc::Receiver<Command>,
    wishes: watch::Receiver<Wishes>,
    /// The wishes that were heeded last.
    heeded: Wishes,
    memory: watch::Sender<MemoryFigures>,
    /// All sessions in order of arrival.
    sessions: Vec<Session<B::Row>>,
    /// Steps that were launched and not read.
    in_flight: Vec<InFlight<B::Step>>,
    pace: Pace,
    next_ticket: u64,
}

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
        commands: mpsc::Receiver<Command>,
        wishes: watch::Receiver<Wishes>,
        memory: watch::Sender<MemoryFigures>,
    ) -> Self {
        // Settings may have changed since the start; nothing was forgotten yet.
        let heeded = Wishes { forgotten: 0, ..*wishes.borrow() };
        let mut worker = Self {
            backend,
            commands,
            wishes,
            heeded,
            memory,
            sessions: Vec::new(),
            in_flight: Vec::new(),
            pace: Pace::default(),
            next_ticket: 0,
        };
        worker.set_cache_limit(heeded.settings.cache_limit);
        worker.publish_memory();
        worker
    }

    /// Works until shut down or abandoned.
    pub fn run(mut self) {
        let exit = loop {
            if let Some(exit) = self.drain_commands() {
                break exit;
            }
            self.retire();
            match self.plan() {
                Turn::Land => self.land(),
                Turn::Read(pass) => self.read(&pass),
                Turn::Step { groups, wait } => {
                    wait.iter().for_each(|place| self.sessions[*place].let_one_pass());
                    let launched = launch(&mut self.backend, &mut self.sessions, &groups);
                    self.pace.has_stepped();
                    self.land();
                    self.in_flight = launched;
                }
                Turn::Rest => {}
            }
        };
        self.in_flight.clear();
        self.sessions.iter_mut().for_each(|session| session.end(FinishReason::Cancelled, None));
        self.retire();
        drop(self);
        if let Exit::Shutdown(done) = exit {
            let _ = done.send(());
        }
    }

    /// Acts on all commands that are here; waits for one where there is nothing to do.
    fn drain_commands(&mut self) -> Option<Exit> {
        loop {
            self.heed_wishes();
            let is_idle = self.sessions.is_empty() && self.in_flight.is_empty();
            let command = if is_idle {
                self.commands.blocking_recv().ok_or(TryRecvError::Disconnected)
            } else {
                self.commands.try_recv()
            };
            match command {
                Ok(Command::Submit(submission)) => {
                    let context = self.backend.context_length();
                    self.sessions.push(Session::new(self.next_ticket, submission, context));
                    self.next_ticket += 1;
                }
                // Looked at before the next command is.
                Ok(Command::Heed) => {}
                Ok(Command::ResetPeakMemory(done)) => {
                    self.backend.reset_peak_memory();
                    self.publish_memory();
                    let _ = done.send(());
                }
                Ok(Command::Shutdown(done)) => return Some(Exit::Shutdown(done)),
                Err(TryRecvError::Disconnected) if is_idle => return Some(Exit::Abandoned),
                Err(TryRecvError::Disconnected | TryRecvError::Empty) => return None,
            }
        }
    }

    /// Does what changed in the wishes. Those that were made before a session was submitted are heeded before it is opened.
    fn heed_wishes(&mut self) {
        let newest = *self.wishes.borrow();
        if newest == self.heeded {
            return;
        }
        let before = std::mem::replace(&mut self.heeded, newest);
        if self.heeded.forgotten != before.forgotten {
            self.backend.forget_prompts();
        }
        if self.heeded.settings.cache_limit != before.settings.cache_limit {
            self.set_cache_limit(self.heeded.settings.cache_limit);
        }
        self.publish_memory();
    }

    /// What the policy says to do, from what it may know.
    fn plan(&self) -> Turn {
        let settings = &self.heeded.settings;
        let stages: Vec<Stage> = self.sessions.iter().map(Session::stage).collect();
        let mut free = free_rows(stages.iter().copied(), settings);
        let views = self.sessions.iter().zip(&stages).map(|(session, stage)| {
            let may_open = *stage == Stage::Waiting && free > 0;
            free -= usize::from(may_open);
            session.view(&self.backend, *stage, may_open)
        });
        let views: Vec<_> = views.collect();
        let flight = Flight { in_flight: !self.in_flight.is_empty(), looks_ahead: self.backend.looks_ahead() };
        plan(&views, settings, &self.pace, flight)
    }

    fn land(&mut self) {
        land(&mut self.backend, &mut self.sessions, std::mem::take(&mut self.in_flight));
    }

    fn read(&mut self, pass: &Pass) {
        let started = Instant::now();
        let tokens = reading::read(&mut self.backend, &mut self.sessions, pass);
        self.pace.has_read(&self.heeded.settings, pass.budget, tokens, started.elapsed());
    }

    /// Lets the sessions go that have ended or that nobody reads any more.
    fn retire(&mut self) {
        // First, so that whoever hears of a session's end finds the figures of its last step.
        self.publish_memory();
        let before = self.sessions.len();
        self.sessions.retain_mut(Session::stays);
        if self.sessions.len() < before {
            self.backend.free_unused();
            self.publish_memory();
        }
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
