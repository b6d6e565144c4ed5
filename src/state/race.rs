//! A race: the same sessions serialized and then batched, with a clock for each.

use crate::protocol::{Execution, RunReport, speed_up, throughput};

/// Where a leg of a race stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegPhase {
    /// The other one comes first.
    #[default]
    Waiting,
    /// Its sessions are running.
    Running,
    /// All of its sessions ran to an end of their own.
    Finished,
    /// It was stopped, or a session failed.
    Broken,
}

/// One of the two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaceLeg {
    /// How its sessions share the device.
    pub execution: Execution,
    /// Where it stands.
    pub phase: LegPhase,
    /// Its clock: seconds from the first submit to now, or to the last end.
    pub elapsed_s: f64,
    /// Tokens of its sessions so far.
    pub tokens: u64,
}

/// Both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RaceState {
    /// The runs, in order.
    pub legs: [RaceLeg; 2],
    /// The most tokens that a leg can give.
    pub limit: u64,
    /// Why it ended before its end.
    pub broken: Option<String>,
}

impl RaceState {
    /// A race of `sessions` sessions of up to `max_tokens` tokens, whose first leg has begun.
    pub fn start(sessions: u32, max_tokens: u32) -> Self {
        let leg = |execution, phase| RaceLeg { execution, phase, elapsed_s: 0.0, tokens: 0 };
        Self {
            legs: [leg(Execution::Serialized, LegPhase::Running), leg(Execution::Batched, LegPhase::Waiting)],
            limit: u64::from(sessions) * u64::from(max_tokens),
            broken: None,
        }
    }

    /// Whether a leg is running.
    pub fn is_active(&self) -> bool {
        self.legs.iter().any(|leg| leg.phase == LegPhase::Running)
    }

    fn running(&mut self) -> Option<&mut RaceLeg> {
        self.legs.iter_mut().find(|leg| leg.phase == LegPhase::Running)
    }

    /// Moves the clock of the leg that is running.
    pub fn tick(&mut self, elapsed_s: f64, tokens: u64) {
        if let Some(leg) = self.running() {
            leg.elapsed_s = elapsed_s;
            leg.tokens = tokens;
        }
    }

    /// Takes in what the running leg gave. Gives the execution of the leg that begins now, if one does.
    pub fn leg_ended(&mut self, report: &RunReport) -> Option<Execution> {
        let leg = self.running()?;
        leg.elapsed_s = report.wall_time_s;
        leg.tokens = report.total_tokens;
        let unfinished = report.sessions.iter().find(|session| !session.finish_reason.is_success());
        if let Some(session) = unfinished {
            leg.phase = LegPhase::Broken;
            let execution = leg.execution;
            self.broken = Some(match &session.error {
                Some(error) => format!("The {execution} run broke: session {} failed: {error}", session.id),
                None => format!("The {execution} run was stopped"),
            });
            return None;
        }
        leg.phase = LegPhase::Finished;
        let next = self.legs.iter_mut().find(|leg| leg.phase == LegPhase::Waiting)?;
        next.phase = LegPhase::Running;
        Some(next.execution)
    }

    /// Ends a race whose leg broke without a report.
    pub fn break_off(&mut self, reason: String) {
        if let Some(leg) = self.running() {
            leg.phase = LegPhase::Broken;
            self.broken = Some(reason);
        }
    }

    /// The serialized throughput's share in the batched one: above 1 where batched is faster. None before both ended.
    pub fn speed_up(&self) -> Option<f64> {
        let [serialized, batched] = &self.legs;
        let are_finished = self.legs.iter().all(|leg| leg.phase == LegPhase::Finished);
        let rate = |leg: &RaceLeg| throughput(leg.tokens, leg.elapsed_s);
        speed_up(rate(batched), rate(serialized)).filter(|_| are_finished && batched.elapsed_s > 0.0)
    }
}
