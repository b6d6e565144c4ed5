//! A session's life on its source: handed over, followed piece by piece, ended.

use super::clock::Clock;
use super::record::{End, Record};
use super::reporter::Listener;
use super::source::{Answer, AnswerEvent, Started, Starting};
use super::stop::StopFlag;
use crate::protocol::{FinishReason, Segment, UpdateKind};
use std::time::Instant;

/// One session that has been handed to its source, or that failed before.
pub(super) struct Submitted {
    record: Record,
    answer: Result<Box<dyn Answer>, End>,
    stop: StopFlag,
}

/// Hands a session to its source. Calls decide the order in which sessions wait there.
pub(super) async fn submit(
    starting: Starting,
    clock: &Clock,
    listener: &mut impl Listener,
    mut stop: StopFlag,
) -> Submitted {
    let mut record = Record::default();
    let started = tokio::select! {
        biased;
        () = stop.raised() => Err(End::now(FinishReason::Cancelled)),
        started = starting => started.map_err(End::failed),
    };
    let answer = match started {
        Ok(Started { at, prompt_tokens, answer }) => {
            record.prompt_tokens = prompt_tokens;
            record.submitted = Some(at);
            clock.submit(at);
            listener.hear(at, UpdateKind::Submitted { prompt_tokens }).await;
            Ok(answer)
        }
        Err(end) => Err(end),
    };
    Submitted { record, answer, stop }
}

impl Submitted {
    /// Follows the session to its end. Everything that the source gave before a stop is in the record.
    pub async fn follow(self, listener: &mut impl Listener) -> (Record, End) {
        let Self { record, answer, mut stop } = self;
        let mut session = Following { record, news: News::default() };
        let end = match answer {
            Ok(mut answer) => session.follow_until_end(answer.as_mut(), listener, &mut stop).await,
            Err(end) => end,
        };
        (session.record, end)
    }
}

/// A session whose events are being read.
struct Following {
    record: Record,
    news: News,
}

/// What came since the listener was told last.
#[derive(Default)]
struct News {
    text: String,
    segments: Vec<Segment>,
    prefill: Option<(u32, u32)>,
    token_at: Option<Instant>,
}

impl Following {
    async fn follow_until_end(
        &mut self,
        answer: &mut dyn Answer,
        listener: &mut impl Listener,
        stop: &mut StopFlag,
    ) -> End {
        let mut stopped = false;
        loop {
            let event = tokio::select! {
                biased;
                () = stop.raised(), if !stopped => {
                    stopped = true;
                    answer.cancel();
                    continue;
                }
                event = answer.next() => event,
            };
            // All that is here already makes one update.
            let end = self.take(event).or_else(|| self.take_waiting(answer));
            self.tell(listener).await;
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn take_waiting(&mut self, answer: &mut dyn Answer) -> Option<End> {
        while let Some(event) = answer.try_next() {
            if let Some(end) = self.take(event) {
                return Some(end);
            }
        }
        None
    }

    fn take(&mut self, event: AnswerEvent) -> Option<End> {
        match event {
            AnswerEvent::PrefillStarted { at } => self.record.prefill = Some(at),
            AnswerEvent::Prefilled { done, total } => self.news.prefill = Some((done, total)),
            AnswerEvent::Piece(piece) => {
                self.record.take(&piece);
                if piece.tokens > 0 {
                    self.news.token_at = Some(piece.at);
                }
                self.news.text.push_str(&piece.text);
                self.news.segments.extend(piece.segments);
            }
            AnswerEvent::Counted { prompt_tokens, tokens } => {
                self.record.prompt_tokens = prompt_tokens.or(self.record.prompt_tokens);
                self.record.tokens = tokens.unwrap_or(self.record.tokens);
            }
            AnswerEvent::Ended { reason, error, at } => return Some(End { reason, error, at }),
        }
        None
    }

    async fn tell(&mut self, listener: &mut impl Listener) {
        let News { text, segments, prefill, token_at } = std::mem::take(&mut self.news);
        if let Some((done, total)) = prefill {
            listener.hear(Instant::now(), UpdateKind::Prefill { done, total }).await;
        }
        let at = token_at.unwrap_or_else(Instant::now);
        if token_at.is_some() || !text.is_empty() {
            listener.hear(at, UpdateKind::Tokens { text, tokens: self.record.tokens }).await;
        }
        for segment in segments {
            listener.hear(at, UpdateKind::Segment(segment)).await;
        }
    }
}
