//! A model's folder is complete before anything is loaded; what is missing or damaged is named.

use llmeval::hub::safetensors::{Dtype, read_tensor_index};
use llmeval::hub::{FolderFiles, ModelFiles, read_json, resolve};
use llmeval::protocol::ModelSource;
use safetensors::tensor::TensorView;
use std::path::Path;
use tempfile::TempDir;

/// A folder with the files that every model has, and one shard with two tensors.
fn model_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::write(folder.path().join(file), "{}").unwrap();
    }
    write_shard(folder.path(), "model.safetensors", &["a.weight", "b.weight"]);
    folder
}

/// Each tensor is f32 of shape [2, 3].
fn write_shard(folder: &Path, file: &str, names: &[&str]) {
    let data = [0; 24];
    let tensors = names.iter().map(|name| (*name, TensorView::new(Dtype::F32, vec![2, 3], &data).unwrap()));
    safetensors::serialize_to_file(tensors, None, &folder.join(file)).unwrap();
}

fn find(folder: &Path) -> Result<FolderFiles, String> {
    match ModelFiles::in_folder(folder) {
        Ok(ModelFiles::Folder(files)) => Ok(files),
        Ok(ModelFiles::Gguf(path)) => panic!("{} is a folder", path.display()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn all_files_of_the_layout_are_found() {
    let folder = model_folder();
    let files = find(folder.path()).unwrap();
    assert_eq!(files.shards, [folder.path().join("model.safetensors")]);
    assert_eq!((files.tokenizer_config, files.chat_template, files.generation_config), (None, None, None));

    for file in ["tokenizer_config.json", "chat_template.json", "generation_config.json"] {
        std::fs::write(folder.path().join(file), "{}").unwrap();
    }
    let files = find(folder.path()).unwrap();
    assert_eq!(files.chat_template, Some(folder.path().join("chat_template.json")));
    std::fs::write(folder.path().join("chat_template.jinja"), "").unwrap();
    let files = find(folder.path()).unwrap();
    assert_eq!(files.chat_template, Some(folder.path().join("chat_template.jinja")), "jinja comes before json");
    assert!(files.tokenizer_config.is_some() && files.generation_config.is_some());
}

#[test]
fn headers_give_every_tensor_with_type_and_shape() {
    let folder = model_folder();
    let index = read_tensor_index(&find(folder.path()).unwrap()).unwrap();
    assert_eq!(index.keys().collect::<Vec<_>>(), ["a.weight", "b.weight"]);
    let entry = &index["a.weight"];
    assert_eq!((entry.dtype, entry.shape.as_slice(), entry.bytes), (Dtype::F32, [2, 3].as_slice(), 24));
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let folder = model_folder();
    let missing = folder.path().join("nowhere");
    assert!(find(&missing).unwrap_err().contains(&missing.display().to_string()));
    let file = folder.path().join("config.json");
    assert!(find(&file).unwrap_err().contains("is not a folder"));

    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = model_folder();
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let error = find(folder.path()).unwrap_err();
        assert!(error.contains(&format!("has no {file}")), "{error}");
    }
}

#[test]
fn shards_of_an_index_are_found_and_a_missing_one_is_named() {
    let folder = model_folder();
    let index = |map: &str| {
        std::fs::write(folder.path().join(FolderFiles::INDEX), format!("{{\"weight_map\": {map}}}")).unwrap();
    };
    index(r#"{"b": "two.safetensors", "a": "one.safetensors", "c": "one.safetensors"}"#);
    write_shard(folder.path(), "one.safetensors", &["a", "c"]);
    let error = find(folder.path()).unwrap_err();
    assert!(error.contains("has no two.safetensors"), "{error}");

    write_shard(folder.path(), "two.safetensors", &["b"]);
    let files = find(folder.path()).unwrap();
    assert_eq!(files.shards, ["one.safetensors", "two.safetensors"].map(|name| folder.path().join(name)));
    assert_eq!(read_tensor_index(&files).unwrap().len(), 3);

    write_shard(folder.path(), "two.safetensors", &["b", "a"]);
    let error = read_tensor_index(&files).unwrap_err().to_string();
    assert!(error.contains("two.safetensors") && error.contains("the tensor a"), "{error}");

    index(r#"{"a": "../model.safetensors"}"#);
    let error = find(folder.path()).unwrap_err();
    assert!(error.contains("outside of the folder"), "{error}");
}

#[test]
fn a_missing_shard_without_an_index_is_named() {
    let folder = model_folder();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    write_shard(folder.path(), "model-00001-of-00003.safetensors", &["a"]);
    write_shard(folder.path(), "model-00003-of-00003.safetensors", &["c"]);
    let error = find(folder.path()).unwrap_err();
    assert!(error.contains("has no model-00002-of-00003.safetensors"), "{error}");
}

#[test]
fn broken_json_is_named_with_file_and_line() {
    let folder = model_folder();
    let config = folder.path().join("config.json");
    std::fs::write(&config, "{\n  \"model_type\": \"llama\",\n  \"layers\": oops\n}").unwrap();
    let error = read_json::<serde_json::Value>(&config).unwrap_err().to_string();
    assert!(error.contains("config.json, line 3"), "{error}");
    std::fs::write(folder.path().join(FolderFiles::INDEX), "{").unwrap();
    let error = find(folder.path()).unwrap_err();
    assert!(error.contains(&format!("{}, line 1", FolderFiles::INDEX)), "{error}");
}

#[test]
fn a_shard_cut_or_damaged_anywhere_is_refused_by_name() {
    let folder = model_folder();
    let path = folder.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let files = find(folder.path()).unwrap();
    let refuse = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = read_tensor_index(&files).expect_err("a damaged shard should be refused").to_string();
        assert!(error.contains("model.safetensors is damaged"), "{error}");
    };
    for cut in 0..whole.len() {
        refuse(&whole[..cut]);
    }
    refuse(&[whole.as_slice(), &[0]].concat());
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refuse(&huge);
    let shape = String::from_utf8_lossy(&whole).find("[2,3]").expect("the header lists shapes");
    let mut wrong = whole.clone();
    wrong[shape + 1] = b'9';
    refuse(&wrong);
    // Every further single-bit error in the header is refused or changes no place and size.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for place in 0..header * 8 {
        let mut bytes = whole.clone();
        bytes[place / 8] ^= 1 << (place % 8);
        std::fs::write(&path, bytes).unwrap();
        if let Ok(index) = read_tensor_index(&files) {
            assert_eq!(index.values().map(|entry| entry.bytes).sum::<u64>(), 48);
        }
    }
}

#[tokio::test]
async fn a_source_leads_to_its_files() {
    let folder = model_folder();
    let source = ModelSource::Folder(folder.path().to_owned());
    assert_eq!(resolve(&source, |_| ()).await.unwrap(), ModelFiles::in_folder(folder.path()).unwrap());

    let gguf = folder.path().join("tiny.gguf");
    let source = ModelSource::Gguf(gguf.clone());
    let error = resolve(&source, |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("tiny.gguf"), "{error}");
    std::fs::write(&gguf, "").unwrap();
    assert_eq!(resolve(&source, |_| ()).await.unwrap(), ModelFiles::Gguf(gguf));
}
