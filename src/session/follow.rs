//! A session's life once its prompt is tokenized: submitted, followed token by token, ended.

use super::LoadedModel;
use super::prepare::Job;
use super::record::{End, Record};
use super::reporter::Reporter;
use super::stop::StopFlag;
use crate::engine::EventStream;
use crate::protocol::{
    EngineEvent, EvaluationResult, FinishReason, SessionError, SessionId, SessionRequest, UpdateKind,
};
use crate::text::{StopMatcher, TextStream};
use std::sync::Arc;
use std::time::Instant;

/// One session that has been handed to the engine, or that failed before.
pub(super) struct Submitted {
    job: Job,
    record: Record,
    stream: Result<EventStream, End>,
    text: TextStream,
    stop: StopFlag,
}

/// Hands a session to the engine. Calls decide the order in which sessions wait there.
pub(super) async fn submit(
    model: &LoadedModel,
    job: Job,
    prompt: Result<Arc<[u32]>, SessionError>,
    reporter: &Reporter,
    stop: StopFlag,
) -> Submitted {
    let text = TextStream::new(model.text().detokenizer(), StopMatcher::new(&job.stop));
    let mut record = Record::default();
    let stream = match prompt {
        _ if stop.is_raised() => Err(End::now(FinishReason::Cancelled)),
        Err(error) => Err(End::failed(error)),
        Ok(prompt) => {
            let at = Instant::now();
            record.prompt_tokens = prompt.len() as u32;
            record.submitted = Some(at);
            reporter.clock.submit(at);
            let request = SessionRequest {
                id: job.id,
                prompt,
                sampling: job.sampling,
                max_tokens: job.max_tokens,
                end_of_sequence: model.text().end_of_sequence(),
                hash_logits: false,
            };
            let submitted = model.engine().submit(request, job.execution);
            let kind = UpdateKind::Submitted { prompt_tokens: record.prompt_tokens };
            reporter.tell(job.id, at, kind).await;
            submitted.map_err(|refusal| End::failed(SessionError(refusal.to_string())))
        }
    };
    Submitted { job, record, stream, text, stop }
}

impl Submitted {
    /// Follows the session to its end. Every token that the engine gave before a stop is in the result.
    pub async fn follow(self, reporter: Reporter) -> EvaluationResult {
        let Self { job, record, stream, text, mut stop } = self;
        let mut session = Following { id: job.id, record, text, news: News::default() };
        let end = match stream {
            Ok(mut stream) => session.follow_until_end(&mut stream, &reporter, &mut stop).await,
            Err(end) => end,
        };
        let at = end.at;
        let result = session.record.into_result(&job, end, &reporter.clock);
        reporter.tell(job.id, at, UpdateKind::Ended(Box::new(result.clone()))).await;
        result
    }
}

/// A session whose events are being read.
struct Following {
    id: SessionId,
    record: Record,
    text: TextStream,
    news: News,
}

/// What came since the reader was told last.
#[derive(Default)]
struct News {
    text: String,
    prefill: Option<(u32, u32)>,
    token_at: Option<Instant>,
}

impl Following {
    async fn follow_until_end(&mut self, stream: &mut EventStream, reporter: &Reporter, stop: &mut StopFlag) -> End {
        let mut stopped = false;
        loop {
            let event = tokio::select! {
                biased;
                () = stop.raised(), if !stopped => {
                    stopped = true;
                    stream.close();
                    continue;
                }
                event = stream.next() => event,
            };
            let end = match event {
                // All that is here already makes one update.
                Some(event) => self.take(event).or_else(|| self.take_waiting(stream)),
                None if stopped => Some(End::now(FinishReason::Cancelled)),
                None => Some(End::failed(SessionError("the engine stopped unexpectedly; load the model again".into()))),
            };
            if let Some(end) = &end
                && end.reason != FinishReason::StopString
            {
                let rest = self.text.finish().text;
                self.show(&rest);
            }
            self.tell(reporter).await;
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn take_waiting(&mut self, stream: &mut EventStream) -> Option<End> {
        while let Some(event) = stream.try_next() {
            if let Some(end) = self.take(event) {
                return Some(end);
            }
        }
        None
    }

    fn take(&mut self, event: EngineEvent) -> Option<End> {
        match event {
            EngineEvent::PrefillStarted { at } => self.record.prefill = Some(at),
            EngineEvent::Prefilled { done, total } => self.news.prefill = Some((done, total)),
            EngineEvent::Token { id, at, .. } => {
                self.record.token(id, at);
                self.news.token_at = Some(at);
                let chunk = self.text.push(id);
                self.show(&chunk.text);
                if chunk.stopped {
                    return Some(End { reason: FinishReason::StopString, error: None, at });
                }
            }
            EngineEvent::Ended { reason, error, at } => return Some(End { reason, error, at }),
        }
        None
    }

    fn show(&mut self, text: &str) {
        self.record.text.push_str(text);
        self.news.text.push_str(text);
    }

    async fn tell(&mut self, reporter: &Reporter) {
        let News { text, prefill, token_at } = std::mem::take(&mut self.news);
        if let Some((done, total)) = prefill {
            reporter.tell(self.id, Instant::now(), UpdateKind::Prefill { done, total }).await;
        }
        if token_at.is_some() || !text.is_empty() {
            let at = token_at.unwrap_or_else(Instant::now);
            let tokens = self.record.tokens();
            reporter.tell(self.id, at, UpdateKind::Tokens { text, tokens }).await;
        }
    }
}
