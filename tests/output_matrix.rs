//! Which matrix gives the logits, the embedding or a head of its own, where config.json and checkpoint disagree: as Python
//! mlx-lm decides it.

use crate::support::checkpoint::{Tensor, copy_of, edit_config, edit_tensors};
use llmeval::hub::ModelFiles;
use llmeval::model::MlxBackend;
use serde_json::json;
use std::collections::BTreeMap;
use tempfile::TempDir;

const HEAD: &str = "lm_head.weight";

/// A copy of a tiny model whose config.json says whether the embedding serves.
fn saying(name: &str, is_tied: bool) -> TempDir {
    let copy = copy_of(name);
    edit_config(copy.path(), json!({ "tie_word_embeddings": is_tied }));
    copy
}

/// Gives the checkpoint a head that isn't its embedding: the embedding's rows in another order.
fn add_head(folder: &TempDir) {
    edit_tensors(folder.path(), |tensors: &mut BTreeMap<String, Tensor>| {
        let mut head = tensors["model.embed_tokens.weight"].clone();
        let row = head.data.len() / head.shape[0];
        head.data.rotate_left(row);
        tensors.insert(HEAD.into(), head);
    });
}

fn load(folder: &TempDir) -> Result<Vec<f32>, String> {
    let files = ModelFiles::in_folder(folder.path()).unwrap();
    let model = MlxBackend::load(&files).map_err(|error| error.to_string())?;
    Ok(model.prompt_logits(&[3, 7, 11], usize::MAX).unwrap().concat())
}

#[test]
fn gemma3_takes_a_head_that_is_there_and_else_its_embedding_whatever_its_config_says() {
    let with_head = load(&copy_of("gemma3_text-tied-with-head-bf16")).unwrap();
    assert_eq!(load(&saying("gemma3_text-tied-with-head-bf16", false)).unwrap(), with_head);
    let embedding = load(&copy_of("gemma3_text-bf16")).unwrap();
    assert_eq!(load(&saying("gemma3_text-bf16", false)).unwrap(), embedding);
    let tied = saying("gemma3_text-bf16", true);
    add_head(&tied);
    assert_ne!(load(&tied).unwrap(), embedding);
}

#[test]
fn gemma2_always_takes_its_embedding_and_refuses_a_head() {
    let embedding = load(&copy_of("gemma2-f16")).unwrap();
    let untied = saying("gemma2-f16", false);
    assert_eq!(load(&untied).unwrap(), embedding);
    add_head(&untied);
    assert!(load(&untied).unwrap_err().contains(HEAD));
}

#[test]
fn others_take_what_their_config_says_and_leave_a_head_out_that_it_calls_tied() {
    let tied = copy_of("llama-tied-f32");
    let embedding = load(&tied).unwrap();
    add_head(&tied);
    assert_eq!(load(&tied).unwrap(), embedding);
    edit_config(tied.path(), json!({ "tie_word_embeddings": false }));
    assert_ne!(load(&tied).unwrap(), embedding);
    let untied = saying("llama-tied-f32", false);
    assert!(load(&untied).unwrap_err().contains(HEAD), "a head is missing");
}
