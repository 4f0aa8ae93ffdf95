//! From files and from a server that does everything wrong.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{Looked, Validators, fetch},
    *,
};
use crate::{
    config::{self, Source, schema::Feed},
    testing::{say, serve},
};

fn feed(source: &str, more: &str) -> Feed {
    let text = format!(
        "schema = 1\n[[interface]]\nname = \"e\"\n[[feed]]\nname = \"a\"\nsource = \"{source}\"\ntimeout = \"2s\"\nmax_bytes = 1048576\n\
         max_entries = 10000\n{more}\n"
    );
    let loaded = config::parse(Source { path: String::new(), text });
    loaded.unwrap_or_else(|error| panic!("{error}")).settings.feed.remove(0)
}

fn fetched(url: &str, more: &str) -> Result<Looked, Fault> {
    fetch::look(&feed(url, more), &Validators::default())
}

fn entries(looked: Looked) -> (Entries, Validators) {
    match looked {
        Looked::New(entries, validators, _) => (*entries, validators),
        Looked::Same => panic!("nothing new"),
    }
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let (url, asked) = serve(|head, stream| {
        if head.contains("\"v1\"") {
            say(stream, "304 Not Modified\r\nETag: \"v1\"", "");
        } else {
            let body = lines(3);
            let head = format!(
                "200 OK\r\nETag: \"v1\"\r\nLast-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\nContent-Length: {}",
                body.len()
            );
            say(stream, &head, &body);
        }
    });
    let (found, validators) = entries(fetched(&url, "").unwrap());
    assert_eq!((found.counts.taken, validators.etag.as_deref()), ([3, 0], Some("\"v1\"")));
    assert!(matches!(fetch::look(&feed(&url, ""), &validators), Ok(Looked::Same)));
    let asked = asked.lock().unwrap();
    assert!(asked[1].to_lowercase().contains("if-modified-since: sun, 22 nov 2026"), "{}", asked[1]);
    assert!(!asked[0].to_lowercase().contains("gzip") && asked[0].contains("floodwall/"), "{}", asked[0]);
}

#[test]
fn a_server_that_does_it_wrong_is_refused_in_time() {
    let (url, _) = serve(|head, stream| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        match path.as_str() {
            "/500" => say(stream, "500 Internal Server Error", "no"),
            "/304" => say(stream, "304 Not Modified", ""),
            "/gzip" => say(stream, "200 OK\r\nContent-Encoding: gzip", "\x1f\u{8b}"),
            "/giga" => say(stream, "200 OK\r\nContent-Length: 1073741824", &lines(100)),
            "/short" => say(stream, "200 OK\r\nContent-Length: 100000", &lines(100)),
            "/chunks" => say(stream, "200 OK\r\nTransfer-Encoding: chunked", "5\r\n44.0.\r\n"),
            "/loop" => say(stream, "302 Found\r\nLocation: /loop", ""),
            "/away" => say(stream, "302 Found\r\nLocation: /fine", ""),
            "/fine" => say(stream, "200 OK", &lines(5)),
            "/html" => say(stream, "200 OK\r\nContent-Type: text/html", "<html>\n<body>login</body>\n"),
            "/endless" => {
                say(stream, "200 OK", "");
                while stream.write_all(b"44.0.0.1\n# and so on, and so on\n").is_ok() {}
            }
            "/slow" => {
                say(stream, "200 OK", "");
                while stream.write_all(b"44.0.0.1\n").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            }
            "/silent" => {
                let _ = stream.read(&mut [0; 1]);
            }
            _ => {}
        }
    });
    let start = Instant::now();
    for (path, words, refusal) in [
        ("500", "answered 500", false),
        ("304", "answered 304", false),
        ("gzip", "compressed", true),
        ("giga", "larger than", true),
        ("short", "cut off", true),
        ("chunks", "cut off", true),
        ("loop", "redirects", false),
        ("endless", "", true),
        ("slow", "within 2 s", false),
        ("silent", "within 2 s", false),
        ("nothing", "", false),
    ] {
        let fault = fetched(&format!("{url}/{path}"), "").expect_err(path);
        assert!(
            fault.to_string().contains(words) && fault.is_refusal() == refusal,
            "{path}: {fault} {fault:?}"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(entries(fetched(&format!("{url}/away"), "").unwrap()).0.counts.taken, [5, 0]);
    let html = entries(fetched(&format!("{url}/html"), "").unwrap()).0;
    assert!(matches!(check::checked(html, &LIMITS, None, false), Err(Fault::Garbage { .. })));
    // Nobody there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(!fetched(&format!("http://127.0.0.1:{port}/"), "").unwrap_err().is_refusal());
}

#[test]
fn a_secret_is_sent_and_goes_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "s3cret-value\n").unwrap();
    let more = format!("key_file = \"{}\"\nheader = \"Authorization\"", path.display());
    let (url, asked) = serve(|head, stream| {
        if head.starts_with("GET /moved") {
            say(stream, "302 Found\r\nLocation: /x", "");
        } else {
            say(stream, "200 OK", "{\"new\":null,\"deleted\":null}");
        }
    });
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fetched(&url, &more).unwrap_err().to_string().contains("chmod 0600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(entries(fetched(&url, &more).unwrap()).0.whole);
    assert!(asked.lock().unwrap()[0].to_lowercase().contains("authorization: s3cret-value"));
    let fault = fetched(&format!("{url}/moved?token=hush"), &more).unwrap_err().to_string();
    assert!(fault.contains("redirects") && !fault.contains("hush") && !fault.contains("s3cret"), "{fault}");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

fn of_file(path: &Path, known: &Validators) -> Result<Looked, Fault> {
    fetch::look(&feed(&format!("file://{}", path.display()), ""), known)
}

#[test]
fn files_are_read_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let none = Validators::default();
    assert!(!of_file(&path, &none).unwrap_err().is_refusal());
    assert!(of_file(folder.path(), &none).unwrap_err().to_string().contains("regular file"));
    fs::write(&path, lines(3)).unwrap();
    let (found, known) = entries(of_file(&path, &none).unwrap());
    assert_eq!(found.counts.taken, [3, 0]);
    assert!(matches!(of_file(&path, &known), Ok(Looked::Same)));
    fs::write(&path, lines(4)).unwrap();
    assert!(matches!(of_file(&path, &known), Ok(Looked::New(..))));
    let huge = fs::File::create(&path).unwrap();
    huge.set_len(1 << 30).unwrap();
    assert_eq!(of_file(&path, &none).unwrap_err(), Fault::TooLarge(1 << 20));
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(of_file(&fifo, &none).unwrap_err().to_string().contains("regular file"));
}

/// Somebody writes all the time: what is read is refused, or whole.
#[test]
fn a_file_that_changes_while_it_is_read_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, lines(9000)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                use std::io::Seek as _;
                file.seek(std::io::SeekFrom::Start(5)).unwrap();
                file.write_all(b"9").unwrap();
            }
        });
        let (start, mut changed) = (Instant::now(), 0);
        while changed < 3 && start.elapsed() < Duration::from_secs(20) {
            match of_file(&path, &Validators::default()) {
                Err(Fault::Changed) => changed += 1,
                other => drop(other),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(changed, 3);
    });
}
