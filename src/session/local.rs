//! The model that is loaded here as a source of sessions: chat template and tokenizer before the engine, text after it.

use super::job::{Input, Job};
use super::loaded::LoadedModel;
use super::source::{Answer, AnswerEvent, Piece, Source, Started, Starting};
use crate::engine::EventStream;
use crate::protocol::{
    Capabilities, EngineEvent, FinishReason, MemoryFigures, ModelSummary, Origin, Segment, SessionError, SessionRequest,
};
use crate::text::{Segmenter, StopMatcher, TextModel, TextStream};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::task::{JoinHandle, spawn_blocking};

impl Source for LoadedModel {
    fn origin(&self) -> &Origin {
        self.origin()
    }

    fn capabilities(&self) -> &Capabilities {
        self.capabilities()
    }

    fn model(&self) -> Option<&ModelSummary> {
        Some(self.summary())
    }

    fn tokenizer(&self) -> Option<&TextModel> {
        Some(self.text())
    }

    fn memory(&self) -> Option<MemoryFigures> {
        Some(self.engine().memory())
    }

    fn reset_peak_memory(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // A dead engine shows in every session's own error.
            let _ = self.engine().reset_peak_memory().await;
        })
    }

    fn forget_prompts(&self) {
        // The same.
        let _ = self.engine().forget_prompts();
    }

    fn start(&self, job: Job) -> Starting {
        let (model, prepared) = (self.clone(), prepare(self.text_shared(), &job));
        Box::pin(async move {
            let prepared = prepared.await.unwrap_or_else(|error| Err(format!("tokenizing failed: {error}")));
            let (prompt, segmenter) = prepared.map_err(SessionError)?;
            let at = Instant::now();
            let prompt_tokens = Some(prompt.len() as u32);
            let stream = model.engine().submit(request(&model, &job, prompt), job.execution);
            let answer = LocalAnswer {
                stream: stream.map_err(|refusal| SessionError(refusal.to_string()))?,
                text: TextStream::new(model.text().detokenizer(), StopMatcher::new(&job.stop)),
                segmenter,
                is_cancelled: false,
                end: None,
            };
            Ok(Started { at, prompt_tokens, answer: Box::new(answer) })
        })
    }
}

impl From<LoadedModel> for Arc<dyn Source> {
    fn from(model: LoadedModel) -> Self {
        Arc::new(model)
    }
}

impl From<&LoadedModel> for Arc<dyn Source> {
    fn from(model: &LoadedModel) -> Self {
        Arc::new(model.clone())
    }
}

/// A prompt's ids, and what splits the answer to it where that is asked for.
type Prepared = Result<(Arc<[u32]>, Option<Segmenter>), String>;

/// Starts tokenizing on a thread of its own: a long prompt takes a while.
fn prepare(text: Arc<TextModel>, job: &Job) -> JoinHandle<Prepared> {
    let (input, splits) = (job.input.clone(), job.splits);
    spawn_blocking(move || {
        let (ids, segmenter) = match &input {
            Input::Chat(chat) => (text.encode_chat(chat), splits.then(|| text.segmenter(chat))),
            Input::Raw(prompt) => (text.encode_raw(prompt), None),
        };
        ids.map(|ids| (Arc::from(ids), segmenter)).map_err(|error| error.to_string())
    })
}

/// What the engine is asked.
fn request(model: &LoadedModel, job: &Job, prompt: Arc<[u32]>) -> SessionRequest {
    SessionRequest {
        id: job.id,
        prompt,
        sampling: job.sampling,
        max_tokens: job.max_tokens,
        end_of_sequence: model.text().end_of_sequence(),
        hash_logits: job.hashes_logits,
    }
}

/// An answer whose tokens become text here.
struct LocalAnswer {
    stream: EventStream,
    text: TextStream,
    segmenter: Option<Segmenter>,
    is_cancelled: bool,
    /// The end, where text that was held back comes before it.
    end: Option<AnswerEvent>,
}

impl Answer for LocalAnswer {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<AnswerEvent> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(end);
        }
        let event = match ready!(self.stream.poll_next(context)) {
            Some(event) => event,
            None if self.is_cancelled => {
                EngineEvent::Ended { reason: FinishReason::Cancelled, error: None, at: Instant::now() }
            }
            None => {
                let error = SessionError("the engine stopped unexpectedly; load the model again".into());
                EngineEvent::Ended { reason: FinishReason::Error, error: Some(error), at: Instant::now() }
            }
        };
        Poll::Ready(match event {
            EngineEvent::PrefillStarted { at } => AnswerEvent::PrefillStarted { at },
            EngineEvent::Prefilled { done, total } => AnswerEvent::Prefilled { done, total },
            EngineEvent::Token { id, at, logits_hash } => {
                let chunk = self.text.push(id);
                let mut piece = self.piece(chunk.text, at);
                (piece.tokens, piece.id, piece.logits_hash) = (1, Some(id), logits_hash);
                if chunk.stopped {
                    self.stream.close();
                    piece.segments.extend(self.last_segments());
                    self.end = Some(AnswerEvent::Ended { reason: FinishReason::StopString, error: None, at });
                }
                AnswerEvent::Piece(piece)
            }
            EngineEvent::Ended { reason, error, at } => {
                let rest = self.text.finish().text;
                let mut piece = self.piece(rest, at);
                piece.segments.extend(self.last_segments());
                let end = AnswerEvent::Ended { reason, error, at };
                if piece.text.is_empty() && piece.segments.is_empty() {
                    end
                } else {
                    self.end = Some(end);
                    AnswerEvent::Piece(piece)
                }
            }
        })
    }

    fn cancel(&mut self) {
        self.is_cancelled = true;
        self.stream.close();
    }
}

impl LocalAnswer {
    /// Text without a token of its own.
    fn piece(&mut self, text: String, at: Instant) -> Piece {
        let segments = self.segmenter.as_mut().map_or_else(Vec::new, |segmenter| segmenter.push(&text));
        Piece { text, segments, tokens: 0, id: None, logits_hash: None, at }
    }

    /// What the segmenter held back.
    fn last_segments(&mut self) -> Vec<Segment> {
        self.segmenter.as_mut().map_or_else(Vec::new, Segmenter::finish)
    }
}
