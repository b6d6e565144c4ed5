//! A hub on this machine for tests: it speaks the endpoints that downloads use, and fails as it is told to.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The commit that the main branch is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository's id.
pub const ID: &str = "owner/tiny";
/// The name under which faults of the listing go.
pub const LISTING: &str = "listing";

/// How the hub answers one request instead of properly.
#[derive(Clone, Debug)]
pub enum Fault {
    /// With this status and nothing else.
    Status(u16),
    /// With 429 and `Retry-After` of this many seconds.
    Busy(u64),
    /// With only so many bytes, then the connection breaks off.
    Cut(usize),
    /// With a wrong byte.
    Wrong,
    /// In pieces of so many bytes, each after a millisecond.
    Slow(usize),
    /// Whole, whatever range was asked for.
    WithoutRange,
    /// With a redirection to another place that has the content.
    Redirect,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// The hub; it runs until the test process ends.
pub struct LocalHub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    token: Option<String>,
    requests: Vec<Request>,
}

impl LocalHub {
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let (shared, address) = (state.clone(), endpoint.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, address) = (shared.clone(), address.clone());
                // A client that goes away in mid-answer is part of the tests.
                thread::spawn(move || answer(&stream, &shared, &address));
            }
        });
        Self { endpoint, state }
    }

    /// The next GETs of `file` are answered with these faults, one each.
    pub fn fail(&self, file: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.entry(file.to_owned()).or_default().extend(faults);
    }

    /// From now on the repository is private.
    pub fn require_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    /// The GETs of `file` so far.
    pub fn gets(&self, file: &str) -> Vec<Request> {
        let requests = self.state.lock().unwrap().requests.clone();
        requests.into_iter().filter(|request| request.method == "GET" && file_of(&request.path) == file).collect()
    }
}

/// What a path asks for: a file's name, or [`LISTING`].
fn file_of(path: &str) -> &str {
    if path.starts_with("/api/") { LISTING } else { path.rsplit('/').next().unwrap_or(path) }
}

fn answer(stream: &TcpStream, state: &Mutex<State>, endpoint: &str) -> Option<()> {
    let request = read_request(stream)?;
    let file = file_of(&request.path).to_owned();
    let (content, fault, allowed) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        let bearer = state.token.as_ref().map(|token| format!("Bearer {token}"));
        let content =
            if file == LISTING { listing(&state.files, &request.path) } else { state.files.get(&file).cloned() };
        let fault =
            if request.method == "GET" { state.faults.get_mut(&file).and_then(VecDeque::pop_front) } else { None };
        (content, fault, bearer.is_none() || bearer == request.authorization)
    };
    let moved = request.path.starts_with("/elsewhere/");
    let Some(content) = content else { return send_status(stream, 404, "") };
    if !allowed && !moved {
        return send_status(stream, 401, "");
    }
    match fault {
        Some(Fault::Status(status)) => return send_status(stream, status, ""),
        Some(Fault::Busy(seconds)) => return send_status(stream, 429, &format!("Retry-After: {seconds}\r\n")),
        Some(Fault::Redirect) => {
            return send_status(stream, 302, &format!("Location: {endpoint}/elsewhere/{file}\r\n"));
        }
        _ => {}
    }
    let range = match &fault {
        Some(Fault::WithoutRange) => None,
        _ => request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-')),
    };
    let range = match range {
        Some((start, end)) => Some((start.parse().ok()?, end.parse().ok()?)),
        None => None,
    };
    send_content(stream, &request, &content, range, fault)
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, path, range: None, authorization: None };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.trim().to_owned()),
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Some(request)
}

fn send_status(mut stream: &TcpStream, status: u16, headers: &str) -> Option<()> {
    write!(stream, "HTTP/1.1 {status} Told\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n").ok()
}

fn send_content(
    mut stream: &TcpStream,
    request: &Request,
    content: &[u8],
    range: Option<(usize, usize)>,
    fault: Option<Fault>,
) -> Option<()> {
    let (status, mut body) = match range {
        Some((first, last)) => ("206 Partial Content", content.get(first..=last)?.to_vec()),
        None => ("200 OK", content.to_vec()),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    write!(head, "X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n\r\n", sha256(content)).unwrap();
    stream.write_all(head.as_bytes()).ok()?;
    if request.method == "HEAD" {
        return Some(());
    }
    match fault {
        Some(Fault::Cut(bytes)) => body.truncate(bytes),
        Some(Fault::Wrong) => body[0] ^= 1,
        Some(Fault::Slow(bytes)) => {
            for piece in body.chunks(bytes) {
                thread::sleep(Duration::from_millis(1));
                stream.write_all(piece).ok()?;
            }
            return Some(());
        }
        _ => {}
    }
    stream.write_all(&body).ok()?;
    // Wait for the client to have read all: closing at once could drop what is under way.
    stream.shutdown(Shutdown::Write).ok()?;
    let _ = stream.read(&mut [0; 1]);
    Some(())
}

fn listing(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Option<Vec<u8>> {
    path.starts_with(&format!("/api/models/{ID}/revision/main")).then(|| {
        let siblings: Vec<_> = files
            .iter()
            .map(|(name, content)| {
                let mut file = serde_json::json!({
                    "rfilename": name, "size": content.len(), "blobId": git_blob(content),
                });
                if name.ends_with(".safetensors") {
                    let sha256 = sha256(content);
                    file["lfs"] = serde_json::json!({"sha256": sha256, "size": content.len(), "pointerSize": 134});
                }
                file
            })
            .collect();
        serde_json::json!({"id": ID, "sha": COMMIT, "siblings": siblings}).to_string().into_bytes()
    })
}

pub fn sha256(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

fn git_blob(content: &[u8]) -> String {
    let mut digest = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    digest.update(content);
    hexadecimal(&digest.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
