//! The real binary, drawn on a display of its own, with the starter model and real mouse clicks.

use llmeval::protocol::{FinishReason, RunReport};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest that the test waits for anything: a debug build reads the model in many seconds.
const PATIENCE: Duration = Duration::from_secs(240);

/// Places in a window of 1280 × 800, as a person sees them.
const RUN_BUTTON: (i32, i32) = (1184, 28);
const PARALLEL_TAB: (i32, i32) = (896, 28);
/// The accent colour, light and dark.
const ACCENT: [&str; 2] = ["(63,91,217)", "(76,104,230)"];
/// The sessions slider's rail, from 1 to 32.
const SLIDER: (f32, f32, i32) = (16.0, 239.0, 122);

#[test]
fn four_sessions_run_to_their_ends_and_a_second_run_is_stopped_half_way() {
    let mut screen = Screen::open();
    screen.wait("the window", |screen| screen.colours() > 50);
    screen.click(PARALLEL_TAB);
    screen.wait("the setting", |screen| {
        screen.set_sessions(4);
        sleep(Duration::from_secs(1));
        screen.kept_settings().is_some_and(|settings| settings["parallel"]["sessions"] == 4)
    });
    // The button waits for the model.
    screen.wait("the model", |screen| screen.shows_accent(RUN_BUTTON));
    screen.click(RUN_BUTTON);
    screen.wait("the first run", |screen| screen.runs().len() == 1);
    let first = &screen.runs()[0];
    assert_eq!(first.sessions.len(), 4);
    for session in &first.sessions {
        assert!(session.finish_reason.is_success(), "session {} ended with {}", session.id, session.finish_reason);
        assert!(session.tokens > 0 && !session.text.is_empty());
    }
    assert_eq!(first.total_tokens, first.sessions.iter().map(|session| u64::from(session.tokens)).sum::<u64>());
    assert!(screen.colours() > 50, "the screen is blank");

    sleep(Duration::from_secs(1));
    screen.click(RUN_BUTTON);
    sleep(Duration::from_millis(1500));
    screen.click(RUN_BUTTON);
    screen.wait("the second run", |screen| screen.runs().len() == 2);
    let second = &screen.runs()[1];
    assert!(second.sessions.iter().any(|session| session.finish_reason == FinishReason::Cancelled));

    sleep(Duration::from_secs(1));
    screen.click(RUN_BUTTON);
    sleep(Duration::from_secs(2));
    screen.close_window();
    screen.ends_cleanly();
    assert_eq!(screen.runs().len(), 3, "the run that was on is kept");
    let log = fs::read_to_string(screen.folder.path().join("state/llmeval/llmeval.log")).unwrap();
    assert!(log.contains("the window opens") && log.ends_with("the window was closed\n"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

/// A display with the program's window on it.
struct Screen {
    display: String,
    server: Child,
    program: Child,
    folder: tempfile::TempDir,
}

impl Screen {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, display) = start_display();
        let data = folder.path().join("data/llmeval");
        fs::create_dir_all(&data).unwrap();
        let models = llmeval::hub::starter_path().unwrap().parent().unwrap().to_owned();
        std::os::unix::fs::symlink(models, data.join("models")).unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_llmeval"))
            .env("DISPLAY", &display)
            .env_remove("WAYLAND_DISPLAY")
            .env("XDG_DATA_HOME", folder.path().join("data"))
            .env("XDG_CONFIG_HOME", folder.path().join("config"))
            .env("XDG_STATE_HOME", folder.path().join("state"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("WINIT_X11_SCALE_FACTOR", "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { display, server, program, folder }
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(begin.elapsed() < PATIENCE, "{what} never came");
            assert!(self.program.try_wait().unwrap().is_none(), "the program ended while waiting for {what}");
            sleep(Duration::from_millis(200));
        }
    }

    fn xdotool(&self, arguments: &[&str]) {
        let status = Command::new("xdotool").env("DISPLAY", &self.display).args(arguments).status().unwrap();
        assert!(status.success(), "xdotool {arguments:?} failed");
    }

    fn click(&self, (x, y): (i32, i32)) {
        let (x, y) = (x.to_string(), y.to_string());
        self.xdotool(&["mousemove", &x, &y, "sleep", "0.3", "mousedown", "1", "sleep", "0.5", "mouseup", "1"]);
    }

    fn set_sessions(&self, sessions: u32) {
        let (left, right, y) = SLIDER;
        // The knob's centre keeps half its width from the rail's ends.
        let x = left + 8.0 + (right - left - 16.0) * (sessions - 1) as f32 / 31.0;
        self.click((x.round() as i32, y));
    }

    /// How many colours the screen shows: a blank one shows next to none.
    fn colours(&self) -> usize {
        let path = self.folder.path().join("screen.png");
        let taken = Command::new("import").env("DISPLAY", &self.display).args(["-window", "root"]).arg(&path).status();
        assert!(taken.unwrap().success(), "no screenshot");
        let counted = Command::new("identify").args(["-format", "%k"]).arg(&path).output().unwrap();
        String::from_utf8_lossy(&counted.stdout).trim().parse().unwrap()
    }

    /// Whether the button at this place can be pressed: it is filled with the accent colour then.
    fn shows_accent(&self, (x, y): (i32, i32)) -> bool {
        self.colours();
        let place = format!("%[pixel:p{{{},{}}}]", x - 70, y - 10);
        let path = self.folder.path().join("screen.png");
        let pixel = Command::new("convert").arg(&path).args(["-format", &place, "info:"]).output().unwrap();
        ACCENT.iter().any(|colour| String::from_utf8_lossy(&pixel.stdout).contains(colour))
    }

    fn kept_settings(&self) -> Option<serde_json::Value> {
        let text = fs::read_to_string(self.folder.path().join("config/llmeval/settings.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn runs(&self) -> Vec<RunReport> {
        let entries = fs::read_dir(self.folder.path().join("data/llmeval/runs")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_json(path)).collect();
        files.sort();
        files.iter().filter_map(|path| serde_json::from_str(&fs::read_to_string(path).ok()?).ok()).collect()
    }

    fn close_window(&self) {
        // Without a window manager nobody gives the window the keyboard.
        self.xdotool(&["search", "--name", "^LLMEval$", "windowfocus", "sleep", "0.5", "key", "ctrl+q"]);
    }

    /// Waits for the program's end, which a running step may hold up on a busy machine, and asks for its exit code.
    fn ends_cleanly(&mut self) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "the window is still open");
            sleep(Duration::from_millis(100));
        };
        assert!(status.success(), "the window closed with {status}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.server.kill();
        let _ = self.program.wait();
        let _ = self.server.wait();
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// Starts an X server on a display that nobody uses, which it names itself.
fn start_display() -> (Child, String) {
    use std::io::{BufRead, BufReader};
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb is missing; `make setup` installs it");
    let mut number = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
    (server, format!(":{}", number.trim()))
}
