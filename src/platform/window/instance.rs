//! One window at a time: a second start hands its files to the first one, which comes to the front.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a second start waits for the first to listen, and how long the first reads what it says.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a second start waits for the answer: the first one may still be opening its window.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// The most bytes of paths that a second start may send.
const MAX_REQUEST_BYTES: u64 = 1 << 20;

/// What [`SingleInstance::claim`] found.
#[derive(Debug)]
pub enum Start {
    /// No other is running: open the window.
    First(SingleInstance),
    /// Another is running and was told: there is nothing left to do.
    HandedOver,
}

/// The right to be the only one; it ends when this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct SingleInstance {
    // Closing the file gives the lock back.
    lock: File,
    listener: UnixListener,
}

/// Why a start could neither be the first nor reach the first.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The folder can't be written.
    #[error("LLMEval can't write to {}: {source}", folder.display())]
    Folder {
        /// The folder for lock and socket.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The one that holds the lock doesn't answer.
    #[error("LLMEval is already running but doesn't answer ({0}). Quit it, then start it again.")]
    NoAnswer(io::Error),
}

impl SingleInstance {
    /// Becomes the only one, or hands `files` to the one that is. Lock and socket lie in `folder`.
    pub fn claim(folder: &Path, files: &[PathBuf]) -> Result<Start, InstanceError> {
        let failed = |source| InstanceError::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("llmeval.lock"))
            .map_err(failed)?;
        let socket = folder.join("llmeval.sock");
        match lock.try_lock() {
            Ok(()) => {
                // One that crashed leaves its socket behind; whoever holds the lock may take it away.
                match fs::remove_file(&socket) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
                let listener = UnixListener::bind(&socket).map_err(failed)?;
                Ok(Start::First(Self { lock, listener }))
            }
            Err(TryLockError::WouldBlock) => hand_over(&socket, files).map_err(InstanceError::NoAnswer),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Calls `on_start` with the files of every later start, none where it named none, from a thread of its own.
    pub fn listen(self, mut on_start: impl FnMut(Vec<PathBuf>) + Send + 'static) -> io::Result<()> {
        let Self { lock, listener } = self;
        thread::Builder::new().name("single-instance".into()).spawn(move || {
            let _held = lock;
            for stream in listener.incoming() {
                match stream.and_then(read_request) {
                    Ok(files) => on_start(files),
                    Err(error) => tracing::warn!(%error, "a second start could not be heard"),
                }
            }
        })?;
        Ok(())
    }
}

fn hand_over(socket: &Path, files: &[PathBuf]) -> io::Result<Start> {
    let started = Instant::now();
    // The first one may hold the lock and not listen yet.
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if started.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    for file in files {
        stream.write_all(path::absolute(file)?.as_os_str().as_bytes())?;
        stream.write_all(&[0])?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // One byte says that the request was read.
    stream.read_exact(&mut [0])?;
    Ok(Start::HandedOver)
}

fn read_request(mut stream: UnixStream) -> io::Result<Vec<PathBuf>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    (&mut stream).take(MAX_REQUEST_BYTES).read_to_end(&mut bytes)?;
    stream.write_all(&[1])?;
    let paths = bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect())
}
