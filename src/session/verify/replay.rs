//! A finished run's sessions, each once more and alone, token by token.

use super::{VerifyError, forget_prompts, request};
use crate::protocol::{EngineEvent, EvaluationResult, FinishReason, ParallelConfig, Replay, RunReport, SessionRequest};
use crate::session::LoadedModel;
use crate::text::{StopMatcher, TextStream};
use std::ops::Range;

/// The sessions of `report` that can be replayed: those that gave tokens.
pub fn replayable(report: &RunReport) -> impl Iterator<Item = &EvaluationResult> {
    report.sessions.iter().filter(|session| session.finish_reason != FinishReason::Error && session.tokens > 0)
}

/// Runs the session of `config` that gave `result` once more and alone, until its answer is whole or the first token
/// differs. Only what the model is asked for must be the same: `config` is the whole run's.
pub async fn replay(model: &LoadedModel, config: &ParallelConfig, result: &EvaluationResult) -> Replay {
    match first_difference(model, config, result).await {
        Ok(None) => Replay::Exact,
        Ok(Some((position, alone))) => {
            let range = place(model, &config.stop, &result.token_ids, position as usize);
            let alone = alone.map(|id| words(model, &result.token_ids[..position as usize], id));
            Replay::Differs { position, start: range.start, end: range.end, alone }
        }
        Err(error) => Replay::Failed { error: error.to_string() },
    }
}

/// The first position at which the session alone gives another token, with that token.
async fn first_difference(
    model: &LoadedModel,
    config: &ParallelConfig,
    result: &EvaluationResult,
) -> Result<Option<(u32, Option<u32>)>, VerifyError> {
    let failed = |words: &str| VerifyError::Replay(result.id, words.to_owned());
    // The engine knows neither a stop string nor a person's stop: what comes after one is not compared.
    let is_whole = matches!(
        result.finish_reason,
        FinishReason::EndOfSequence | FinishReason::TokenLimit | FinishReason::ContextLimit
    );
    let whole = request(model, config, result.id).await?;
    let max_tokens = if is_whole { whole.max_tokens } else { result.tokens };
    let request = SessionRequest { max_tokens, hash_logits: false, ..whole };
    forget_prompts(model)?;
    let mut stream = model.engine().submit(request, config.execution)?;
    let mut expected = (0..).zip(&result.token_ids);
    while let Some(event) = stream.next().await {
        match event {
            EngineEvent::Token { id, .. } => match expected.next() {
                Some((_, token)) if *token == id => {}
                Some((position, _)) => return Ok(Some((position, Some(id)))),
                None => return Ok(Some((result.tokens, Some(id)))),
            },
            EngineEvent::Ended { reason: FinishReason::Error, error, .. } => {
                return Err(failed(&error.map_or_else(|| "no reason given".to_owned(), |error| error.0)));
            }
            EngineEvent::Ended { .. } => return Ok(expected.next().map(|(position, _)| (position, None))),
            EngineEvent::PrefillStarted { .. } | EngineEvent::Prefilled { .. } => {}
        }
    }
    Err(failed("the engine stopped unexpectedly; load the model again"))
}

/// Where the text of token `position` lies in the text of `tokens`, in bytes. A token that is a part of a character has
/// the whole character's place.
fn place(model: &LoadedModel, stops: &[String], tokens: &[u32], position: usize) -> Range<usize> {
    let mut stream = TextStream::new(model.text().detokenizer(), StopMatcher::new(stops));
    let (before, from) = tokens.split_at(position.min(tokens.len()));
    let start = before.iter().map(|id| stream.push(*id).text.len()).sum();
    let shown = from.iter().map(|id| stream.push(*id).text.len()).find(|length| *length > 0);
    let end = start + shown.unwrap_or_else(|| stream.finish().text.len());
    if from.is_empty() { end..end } else { start..end }
}

/// The text that token `id` adds after `before`.
fn words(model: &LoadedModel, before: &[u32], id: u32) -> String {
    let mut stream = TextStream::new(model.text().detokenizer(), StopMatcher::default());
    before.iter().for_each(|id| drop(stream.push(*id)));
    let text = stream.push(id).text;
    if text.is_empty() { stream.finish().text } else { text }
}
