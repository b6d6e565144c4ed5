//! One pass over prompts, as it was planned: rows are opened, then read alone or at once.

use super::backend::Backend;
use super::guard::guarded;
use super::scheduler::{Pass, Piece};
use super::session::Session;

/// Opens the pass's rows and reads its pieces; says how many tokens were read. A session that fails ends alone.
pub(super) fn read<B: Backend>(backend: &mut B, sessions: &mut [Session<B::Row>], pass: &Pass) -> usize {
    for place in &pass.open {
        let session = &mut sessions[*place];
        if let Err(failure) = guarded(|| session.open(backend)) {
            session.fail(&failure);
        }
    }
    match pass.pieces.as_slice() {
        [] => 0,
        [alone] => read_alone(backend, sessions, *alone),
        pieces => read_together(backend, sessions, pieces),
    }
}

fn read_alone<B: Backend>(backend: &mut B, sessions: &mut [Session<B::Row>], piece: Piece) -> usize {
    let session = &mut sessions[piece.session];
    let Some(row) = session.reading_row() else { return 0 };
    match guarded(|| backend.prefill(row, piece.tokens)) {
        Ok(read) => {
            session.has_read(backend, read);
            read
        }
        Err(failure) => {
            session.fail(&failure);
            0
        }
    }
}

/// Reads the pieces at once. Where that gives an error, each is read alone, so that only those sessions end whose own
/// prompt can't be read; after a panic the rows can't be trusted and all of them end.
fn read_together<B: Backend>(backend: &mut B, sessions: &mut [Session<B::Row>], pieces: &[Piece]) -> usize {
    let mut wanted = pieces.iter().peekable();
    let mut rows = Vec::with_capacity(pieces.len());
    let mut reading = Vec::with_capacity(pieces.len());
    for (place, session) in sessions.iter_mut().enumerate() {
        // A row that could not be opened is not there.
        if let Some(piece) = wanted.next_if(|piece| piece.session == place)
            && let Some(row) = session.reading_row()
        {
            rows.push((row, piece.tokens));
            reading.push(*piece);
        }
    }
    match guarded(|| backend.prefill_together(&mut rows)) {
        Ok(read) => {
            for (piece, read) in reading.iter().zip(&read) {
                sessions[piece.session].has_read(backend, *read);
            }
            read.iter().sum()
        }
        Err(failure) if failure.panicked => {
            reading.iter().for_each(|piece| sessions[piece.session].fail(&failure));
            0
        }
        Err(_) => reading.iter().map(|piece| read_alone(backend, sessions, *piece)).sum(),
    }
}
