//! A finished run's sessions, each once more and alone, token by token; by their text where the engine tells no ids.

use super::report::VerifyError;
use super::trace::first_difference;
use crate::protocol::{EvaluationResult, FinishReason, ParallelConfig, Replay, RunReport, SessionError};
use crate::session::job::Job;
use crate::session::source::{Answer, AnswerEvent, Piece, Source, check_execution};
use crate::text::{StopMatcher, TextModel, TextStream};
use std::ops::Range;
use std::sync::Arc;

/// The sessions of `report` that can be replayed: those that gave tokens.
pub fn replayable(report: &RunReport) -> impl Iterator<Item = &EvaluationResult> {
    report.sessions.iter().filter(|session| session.finish_reason != FinishReason::Error && session.tokens > 0)
}

/// Runs the session of `config` that gave `result` once more and alone, until its answer is whole or the first token
/// differs. Only what the model is asked for must be the same: `config` is the whole run's.
pub async fn replay(source: impl Into<Arc<dyn Source>>, config: &ParallelConfig, result: &EvaluationResult) -> Replay {
    let source = source.into();
    let replayed = match source.tokenizer().filter(|_| source.capabilities().token_ids) {
        Some(tokenizer) => by_tokens(source.as_ref(), tokenizer, config, result).await,
        None => by_text(source.as_ref(), config, result).await,
    };
    replayed.unwrap_or_else(|error| Replay::Failed { error: error.to_string() })
}

/// Starts the session that gave `result`, alone.
async fn start(
    source: &dyn Source,
    config: &ParallelConfig,
    result: &EvaluationResult,
    change: impl FnOnce(Job) -> Job,
) -> Result<Box<dyn Answer>, VerifyError> {
    config.validate()?;
    check_execution(source, config.execution)?;
    // It is not proven by what the run itself has read.
    source.forget_prompts();
    let started = source.start(change(Job::of_run(config, result.id)?)).await;
    Ok(started.map_err(|error| VerifyError::Session(result.id, error))?.answer)
}

fn failed(result: &EvaluationResult, error: Option<SessionError>) -> VerifyError {
    VerifyError::Session(result.id, error.unwrap_or_else(|| SessionError("no reason given".into())))
}

/// Whether the answer ended by itself, so that it must end at the same place alone.
fn is_whole(result: &EvaluationResult) -> bool {
    use FinishReason::{ContextLimit, EndOfSequence, TokenLimit};
    matches!(result.finish_reason, EndOfSequence | TokenLimit | ContextLimit)
}

async fn by_tokens(
    source: &dyn Source,
    tokenizer: &TextModel,
    config: &ParallelConfig,
    result: &EvaluationResult,
) -> Result<Replay, VerifyError> {
    let Some((position, alone)) = first_other_token(source, config, result).await? else { return Ok(Replay::Exact) };
    let range = place(tokenizer, &config.stop, &result.token_ids, position as usize);
    let alone = alone.map(|id| words(tokenizer, &result.token_ids[..position as usize], id));
    Ok(Replay::Differs { position, start: range.start, end: range.end, alone })
}

/// The first position at which the session alone gives another token, with that token.
async fn first_other_token(
    source: &dyn Source,
    config: &ParallelConfig,
    result: &EvaluationResult,
) -> Result<Option<(u32, Option<u32>)>, VerifyError> {
    // What comes after a stop string or a person's stop is not compared.
    let limit = if is_whole(result) { config.max_tokens } else { result.tokens };
    let ends_by_itself = |job| Job { max_tokens: limit, stop: Vec::new(), ..job };
    let mut answer = start(source, config, result, ends_by_itself).await?;
    let mut expected = (0..).zip(&result.token_ids);
    loop {
        match answer.next().await {
            AnswerEvent::Piece(Piece { id: Some(id), .. }) => match expected.next() {
                Some((_, token)) if *token == id => {}
                Some((position, _)) => return Ok(Some((position, Some(id)))),
                None => return Ok(Some((result.tokens, Some(id)))),
            },
            // What was held back ends without a token of its own.
            AnswerEvent::Piece(Piece { id: None, .. }) => {}
            AnswerEvent::Ended { reason: FinishReason::Error, error, .. } => return Err(failed(result, error)),
            AnswerEvent::Ended { .. } => return Ok(expected.next().map(|(position, _)| (position, None))),
            AnswerEvent::Counted { .. } | AnswerEvent::PrefillStarted { .. } | AnswerEvent::Prefilled { .. } => {}
        }
    }
}

async fn by_text(
    source: &dyn Source,
    config: &ParallelConfig,
    result: &EvaluationResult,
) -> Result<Replay, VerifyError> {
    let mut answer = start(source, config, result, |job| job).await?;
    let mut alone = String::new();
    loop {
        match answer.next().await {
            AnswerEvent::Piece(piece) => alone.push_str(&piece.text),
            AnswerEvent::Ended { reason: FinishReason::Error, error, .. } => return Err(failed(result, error)),
            AnswerEvent::Ended { .. } => break,
            AnswerEvent::Counted { .. } | AnswerEvent::PrefillStarted { .. } | AnswerEvent::Prefilled { .. } => {}
        }
    }
    let was_stopped = result.finish_reason == FinishReason::Cancelled;
    let Some(character) = first_difference(result.text.chars(), alone.chars(), was_stopped) else {
        return Ok(Replay::SameText);
    };
    let same: usize = result.text.chars().take(character as usize).map(char::len_utf8).sum();
    let end = same + result.text[same..].chars().next().map_or(0, char::len_utf8);
    let rest = Some(alone[same..].to_owned()).filter(|rest| !rest.is_empty());
    Ok(Replay::TextDiffers { character, start: same, end, alone: rest })
}

/// Where the text of token `position` lies in the text of `tokens`, in bytes. A token that is a part of a character has
/// the whole character's place.
fn place(tokenizer: &TextModel, stops: &[String], tokens: &[u32], position: usize) -> Range<usize> {
    let mut stream = TextStream::new(tokenizer.detokenizer(), StopMatcher::new(stops));
    let (before, from) = tokens.split_at(position.min(tokens.len()));
    let start = before.iter().map(|id| stream.push(*id).text.len()).sum();
    let shown = from.iter().map(|id| stream.push(*id).text.len()).find(|length| *length > 0);
    let end = start + shown.unwrap_or_else(|| stream.finish().text.len());
    if from.is_empty() { end..end } else { start..end }
}

/// The text that token `id` adds after `before`.
fn words(tokenizer: &TextModel, before: &[u32], id: u32) -> String {
    let mut stream = TextStream::new(tokenizer.detokenizer(), StopMatcher::default());
    before.iter().for_each(|id| drop(stream.push(*id)));
    let text = stream.push(id).text;
    if text.is_empty() { stream.finish().text } else { text }
}
