//! The system's file dialogs.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// What a dialog asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A model's folder.
    ModelFolder,
    /// A .gguf file.
    ModelFile,
    /// A run that was exported as JSON.
    OpenRun,
    /// Where to save a run, or a sweep.
    SaveRun {
        /// The name that is proposed.
        name: String,
        /// The kind of file, in words.
        kind: &'static str,
        /// The file's extension.
        extension: &'static str,
    },
}

/// The answer: a path, or none where the person thought better of it.
pub type Answer = Pin<Box<dyn Future<Output = Option<PathBuf>> + Send>>;

/// Opens a dialog. Called on the window's thread; the answer is awaited elsewhere.
pub type Dialogs = Arc<dyn Fn(Ask) -> Answer + Send + Sync>;

/// The system's own dialogs.
pub fn system() -> Dialogs {
    Arc::new(|ask| {
        let dialog = rfd::AsyncFileDialog::new();
        match ask {
            Ask::ModelFolder => {
                let answer = dialog.set_title("Open a model's folder").pick_folder();
                Box::pin(async move { answer.await.map(|file| file.path().to_owned()) })
            }
            Ask::ModelFile => {
                let answer = dialog.set_title("Open a model").add_filter("GGUF", &["gguf"]).pick_file();
                Box::pin(async move { answer.await.map(|file| file.path().to_owned()) })
            }
            Ask::OpenRun => {
                let answer = dialog.set_title("Open run").add_filter("JSON", &["json"]).pick_file();
                Box::pin(async move { answer.await.map(|file| file.path().to_owned()) })
            }
            Ask::SaveRun { name, kind, extension } => {
                let dialog = dialog.set_title("Export").set_file_name(name).add_filter(kind, &[extension]);
                let answer = dialog.save_file();
                Box::pin(async move { answer.await.map(|file| file.path().to_owned()) })
            }
        }
    })
}
