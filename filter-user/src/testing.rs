//! For tests: generated files.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

/// Asserts that `docs/{name}` is `text`, or makes it so with `FLOODWALL_BLESS=1`.
pub(crate) fn is_current(name: &str, text: &str) {
    is_current_at(&format!("docs/{name}"), text);
}

/// The same for a path from the workspace's folder on.
pub(crate) fn is_current_at(place: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place);
    if env::var_os("FLOODWALL_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{place} is out of date: FLOODWALL_BLESS=1 cargo test -p filter-user");
}

/// A web server that answers by its script until the test ends; returns its address and what it was asked, bodies included.
pub(crate) fn serve(
    answer: impl Fn(&str, &mut TcpStream) + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let asked = request(&stream);
            log.lock().unwrap().push(asked.clone());
            answer(&asked, &mut stream);
        }
    });
    (address, asked)
}

/// Head and body.
fn request(stream: &TcpStream) -> String {
    let mut text = String::new();
    let mut reader = BufReader::new(stream);
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).is_ok_and(|read| read > 0) {}
    let length = text
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = Vec::new();
    let _ = reader.take(length.unwrap_or(0)).read_to_end(&mut body);
    text + &String::from_utf8_lossy(&body)
}

/// An answer.
pub(crate) fn say(stream: &mut TcpStream, head: &str, body: &str) {
    let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
}

/// Prometheus' own tool: `PROMTOOL`, which `cargo xtask` sets, or what is in the path; `None` where there is none.
pub(crate) fn promtool() -> Option<OsString> {
    let named = env::var_os("PROMTOOL");
    let is_there = |tool: &OsString| Command::new(tool).arg("--version").output().is_ok();
    let found = Some(named.clone().unwrap_or_else(|| "promtool".into())).filter(is_there);
    assert!(found.is_some() || named.is_none(), "PROMTOOL names no promtool: {named:?}");
    found
}
