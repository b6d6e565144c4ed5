//! Decode steps on their way: launched for groups of sessions, read, their tokens handed out.

use super::backend::Backend;
use super::guard::{Failure, guarded};
use super::scheduler::Group;
use super::session::Session;
use std::time::Instant;

/// A launched step, or why there is none, and whose rows are in it.
pub(super) struct InFlight<S> {
    step: Result<S, Failure>,
    tickets: Vec<u64>,
}

/// Launches one decode step of each group; `sessions` are in order of arrival.
pub(super) fn launch<B: Backend>(
    backend: &mut B,
    sessions: &mut [Session<B::Row>],
    groups: &[Group],
) -> Vec<InFlight<B::Step>> {
    let mut launched = Vec::new();
    for group in groups {
        let mut places = group.sessions.iter().copied().peekable();
        let named = sessions.iter_mut().enumerate().filter(|(place, _)| places.next_if_eq(place).is_some());
        let mut named: Vec<_> = named.map(|(_, session)| session).collect();
        launch_together(backend, &mut named, &mut launched);
    }
    launched
}

/// Launches one step for `sessions`, of one execution, together. Where that gives an error, each is launched alone, so that
/// only those end whose own row fails; after a panic the rows can't be trusted and all of them end.
fn launch_together<B: Backend>(
    backend: &mut B,
    sessions: &mut [&mut Session<B::Row>],
    launched: &mut Vec<InFlight<B::Step>>,
) {
    let Some(execution) = sessions.first().map(|session| session.execution) else { return };
    let step = guarded(|| {
        let mut rows: Vec<_> = sessions.iter_mut().filter_map(|session| session.decode_row()).collect();
        backend.launch(&mut rows, execution)
    });
    match &step {
        Ok(_) => sessions.iter_mut().for_each(|session| session.step_launched()),
        Err(failure) if sessions.len() > 1 && !failure.panicked => {
            return sessions.chunks_mut(1).for_each(|alone| launch_together(backend, alone, launched));
        }
        // Tokens of earlier steps are still to come, so the failure waits for its turn to be read.
        Err(_) => sessions.iter_mut().for_each(|session| session.launch_no_more()),
    }
    launched.push(InFlight { step, tickets: sessions.iter().map(|session| session.ticket).collect() });
}

/// Waits for launched steps and hands out their tokens, to those of their sessions that are still here.
pub(super) fn land<B: Backend>(
    backend: &mut B,
    sessions: &mut [Session<B::Row>],
    in_flight: impl IntoIterator<Item = InFlight<B::Step>>,
) {
    for InFlight { step, tickets } in in_flight {
        let outputs = step.and_then(|step| guarded(|| backend.read(step)));
        let at = Instant::now();
        for (index, ticket) in tickets.iter().enumerate() {
            // Tickets grow in order of arrival.
            let Ok(place) = sessions.binary_search_by_key(ticket, |session| session.ticket) else { continue };
            let session = &mut sessions[place];
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
