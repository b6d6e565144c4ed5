//! What outlives the window: settings and runs, in the platform's folders.

use crate::protocol::RunReport;
use crate::state::{MAX_RECENT_RUNS, RunRecord, Settings, SettingsError, read_report};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The local time at which a run ended, as its file's name begins.
const RUN_NAME: &str = "%Y-%m-%d %H.%M.%S";
/// Bytes of such a name.
const RUN_NAME_LENGTH: usize = 19;
/// Local time for a person.
const FOR_PEOPLE: &str = "%Y-%m-%d %H:%M";

/// Where settings and runs lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    settings: PathBuf,
    runs: PathBuf,
}

/// What was read at launch.
pub struct Stored {
    /// The settings, or the defaults where there are none or they can't be used.
    pub settings: Settings,
    /// What the person has to know about the settings file.
    pub notice: Option<String>,
}

impl Storage {
    /// The platform's folders for this program.
    pub fn platform() -> anyhow::Result<Self> {
        let folders = directories::ProjectDirs::from("", "", "LLMEval")
            .ok_or_else(|| anyhow::anyhow!("this account has no home folder; set HOME"))?;
        Ok(Self { settings: folders.config_dir().join("settings.json"), runs: folders.data_dir().join("runs") })
    }

    /// Everything in one folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { settings: folder.join("settings.json"), runs: folder.join("runs") }
    }

    /// Reads the settings. A file that can't be used is set aside, never overwritten.
    pub fn read_settings(&self) -> Stored {
        let text = match fs::read_to_string(&self.settings) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Stored { settings: Settings::default(), notice: None };
            }
            Err(error) => return self.unusable(&SettingsError::Broken(error.to_string())),
        };
        match Settings::parse(&text) {
            Ok(settings) => Stored { settings, notice: None },
            Err(error) => self.unusable(&error),
        }
    }

    fn unusable(&self, error: &SettingsError) -> Stored {
        let shown = self.settings.display();
        let place = free_name(&self.settings.with_extension("set-aside.json"));
        let notice = match fs::rename(&self.settings, &place) {
            Ok(()) => format!(
                "The settings file was not used: {error}. It was set aside as {}; the settings begin anew.",
                place.display()
            ),
            Err(failure) => {
                format!("The settings file {shown} was not used: {error}. Nor could it be set aside: {failure}.")
            }
        };
        Stored { settings: Settings::default(), notice: Some(notice) }
    }

    /// Writes the settings; a crash in between leaves the old ones.
    pub fn write_settings(&self, settings: &Settings) -> io::Result<()> {
        write_whole(&self.settings, &settings.to_json()?)
    }

    /// Writes a run that ended, and says how the list of recent runs shows it.
    pub fn write_run(&self, report: &RunReport) -> io::Result<RunRecord> {
        let now = chrono::Local::now();
        let path = free_name(&self.runs.join(format!("{}.json", now.format(RUN_NAME))));
        self.rewrite_run(report, path)
    }

    /// Writes a run again into its own file.
    pub fn rewrite_run(&self, report: &RunReport, path: PathBuf) -> io::Result<RunRecord> {
        write_whole(&path, &crate::state::ExportFormat::Json.write(report)?)?;
        let ended = ended(&path);
        Ok(RunRecord::of(report, path, ended))
    }

    /// The runs that ended, newest first. Files that are no runs are passed over.
    pub fn read_runs(&self) -> Vec<RunRecord> {
        let Ok(entries) = fs::read_dir(&self.runs) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        // Names begin with the time.
        files.sort();
        files.into_iter().rev().take(MAX_RECENT_RUNS).filter_map(|path| record(&path)).collect()
    }
}

fn record(path: &Path) -> Option<RunRecord> {
    let text = fs::read_to_string(path).ok()?;
    match read_report(&text) {
        Ok(report) => {
            let ended = ended(path);
            Some(RunRecord::of(&report, path.to_owned(), ended))
        }
        Err(reason) => {
            tracing::warn!("{} is passed over: {reason}", path.display());
            None
        }
    }
}

/// A run's file, read for "Open run". The error names the file and says what is wrong.
pub fn open_run(path: &Path) -> Result<RunReport, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{name} can't be read: {error}"))?;
    read_report(&text).map_err(|reason| format!("{name} can't be opened as a run: {reason}"))
}

/// Writes a file as a whole or not at all.
pub fn write_whole(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, contents)?;
    fs::rename(&partial, path)
}

/// `path`, or with a number where that is taken.
fn free_name(path: &Path) -> PathBuf {
    if !path.exists() {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    (2..)
        .map(|number| path.with_file_name(format!("{stem} {number}.{extension}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| path.to_owned())
}

/// When the run in a file ended, for a person. Its name begins with that; a file of another name says when it was
/// changed last.
fn ended(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let named = stem.get(..RUN_NAME_LENGTH).map(|name| chrono::NaiveDateTime::parse_from_str(name, RUN_NAME));
    if let Some(Ok(time)) = named {
        return time.format(FOR_PEOPLE).to_string();
    }
    when(fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH))
}

/// Local date and time for a person.
fn when(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Local>::from(time).format(FOR_PEOPLE).to_string()
}
