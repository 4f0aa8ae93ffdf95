//! What targets get, and what becomes of those that don't take it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::Path,
    time::Instant,
};

use super::*;
use crate::{
    config::{self, Source},
    daemon::{
        detect,
        incidents::{Incident, Standing, form::tests::incident},
    },
    testing::{say, serve},
};

fn incident_of(event: Event, number: u64) -> Incident {
    let incident = incident(1_795_374_900, number);
    if event == Event::Ended {
        return incident;
    }
    let attack = detect::Line { ended: None, ..incident.attack };
    Incident { state: Standing::Active, attack, ..incident }
}

/// Of an attack of 90 s that began 2026-11-22T19:15:00Z, told 30 s later.
pub(super) fn notice(event: Event, number: u64) -> Notice {
    Notice::new(event, &incident_of(event, number), "edge", 1_795_374_930)
}

fn settings(more: &str) -> Result<config::Settings, config::Error> {
    let text = format!("schema = 1\n[[interface]]\nname = 'e'\n[[notify]]\nname = 'ops'\n{more}\n");
    config::parse(Source { path: String::new(), text }).map(|loaded| loaded.settings)
}

/// As the file says it.
pub(super) fn target(more: &str) -> Notify {
    settings(more).unwrap_or_else(|error| panic!("{error}")).notify.remove(0)
}

#[test]
fn what_does_not_belong_together_is_refused() {
    for (more, wanted) in [
        ("kind = 'webhook'", "webhook needs `to`"),
        ("kind = 'webhook'\nto = '/bin/true'", "webhook is told by HTTP"),
        ("kind = 'command'", "command needs `to`"),
        ("kind = 'command'\nto = 'https://a/b'", "command is no web server"),
        ("kind = 'syslog'\nto_file = '/a'", "syslog has no URL"),
        ("kind = 'webhook'\nto = 'https://a/'\nto_file = '/a'", "two places"),
        ("kind = 'syslog'\nargs = ['x']", "syslog knows no args"),
        ("kind = 'alertmanager'\nto = 'https://a/'\nevents = ['began']", "alertmanager knows no events"),
        ("kind = 'alertmanager'\nto = 'https://a/'\nsign_key_file = '/a'", "knows no sign_key_file"),
        ("kind = 'mail'", "unknown value"),
        ("kind = 'syslog'\n[[notify]]\nname = 'ops'\nkind = 'syslog'", "is there twice"),
    ] {
        let error = settings(more).err().unwrap_or_else(|| panic!("{more} is taken"));
        assert!(error.to_string().contains(wanted), "{more}: {error}");
    }
    for fine in [
        "kind = 'journal'",
        "kind = 'webhook'\nto_file = '/a'",
        "kind = 'command'\nto = '/a'\nargs = ['-x', 'y']",
    ] {
        assert!(settings(fine).is_ok(), "{fine}");
    }
}

#[test]
fn a_webhook_gets_the_attack_signed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (url, asked) = serve(|_, stream| say(stream, "204 No Content", ""));
    let (sign, key, place) =
        (file("sign", "whsec_plJ3nmyCDGBKInavdOK15jsl"), file("key", "Bearer t0"), file("url", &url));
    let target = target(&format!(
        "kind = 'webhook'\nto_file = '{place}'\nsign_key_file = '{sign}'\nkey_file = '{key}'"
    ));
    let notice = notice(Event::Began, 7);
    send(&target, &notice).unwrap();
    let asked = asked.lock().unwrap().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST / HTTP/1.1"), "{head}");
    let head = head.to_ascii_lowercase();
    for wanted in [
        "authorization: bearer t0",
        "content-type: application/json",
        &format!("webhook-id: {}", notice.id),
        "webhook-signature: v1,",
        "webhook-timestamp: ",
    ] {
        assert!(head.contains(wanted), "{wanted}: {head}");
    }
    let told: Notice = serde_json::from_str(body).unwrap();
    assert_eq!((told.event, told.service(), told.incident()), (Event::Began, "web", "20261122T191500Z-7"));
    assert!(
        !body.contains("192.31.196.9") && body.contains("192.31.196.0/24"),
        "what incidents keep: {body}"
    );
}

#[test]
fn a_server_that_does_not_take_it_is_told_apart() {
    let (url, _) = serve(|_, stream| say(stream, "503 Service Unavailable\r\nRetry-After: 90", ""));
    let (moved, asked) = serve(|_, stream| say(stream, "302 Found\r\nLocation: http://127.0.0.1:1/", ""));
    let (silent, _) = serve(|_, stream| {
        let _ = stream.set_read_timeout(None);
        let _ = std::io::Read::read(stream, &mut [0]);
    });
    let tried = |url: &str| {
        send(
            &target(&format!("kind = 'webhook'\nto = '{url}/a?secret=b'\ntimeout = '1s'")),
            &notice(Event::Began, 1),
        )
        .unwrap_err()
    };
    let busy = tried(&url);
    assert_eq!(busy.why, "the server answered 503 Service Unavailable");
    assert_eq!(busy.again, failed::Again::After(Duration::from_secs(90)));
    assert!(tried(&moved).why.contains("name the right URL"));
    assert_eq!(asked.lock().unwrap().len(), 1, "a redirect is not followed");
    let started = Instant::now();
    assert_eq!(tried(&silent).why, "it did not end within 1 s");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(!tried("http://127.0.0.1:1").why.contains("secret"));
}

#[test]
fn alertmanager_is_asked_at_its_path() {
    let (url, asked) = serve(|_, stream| say(stream, "200 OK\r\nContent-Length: 0", ""));
    for to in [url.clone(), format!("{url}/"), format!("{url}/api/v2/alerts")] {
        send(&target(&format!("kind = 'alertmanager'\nto = '{to}'")), &notice(Event::Still, 1)).unwrap();
        assert!(asked.lock().unwrap().remove(0).starts_with("POST /api/v2/alerts HTTP/1.1"));
    }
}

#[test]
fn the_journal_and_syslog_get_a_datagram() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, wanted) in [("journal", "MESSAGE\n"), ("syslog", "<28>floodwall[")] {
        let path = folder.path().join(kind);
        let socket = UnixDatagram::bind(&path).unwrap();
        let target = target(&format!("kind = '{kind}'\nto = '{}'", path.display()));
        send(&target, &notice(Event::Began, 1)).unwrap();
        let mut bytes = vec![0; 1 << 16];
        let length = socket.recv(&mut bytes).unwrap();
        assert!(String::from_utf8_lossy(&bytes[..length]).starts_with(wanted));
        drop(socket);
        assert!(send(&target, &notice(Event::Began, 1)).unwrap_err().why.contains("refused"), "nobody reads");
    }
}

/// A program of the test's.
fn program(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    // Written by another process: one that is forked meanwhile by another test would hold it open, and nobody could start it.
    let script = format!("cat > '{0}' <<'END'\n#!/bin/sh\n{text}\nEND\nchmod 755 '{0}'", path.display());
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    path.display().to_string()
}

#[test]
fn a_command_gets_it_on_its_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let text =
        format!("cat > {0}.json; printf '%s|' \"$@\" \"$FLOODWALL_EVENT\" \"$HOME\" > {0}", out.display());
    let program = program(folder.path(), "tell", &text);
    let target = target(&format!("kind = 'command'\nto = '{program}'\nargs = ['a b', '$(id)']"));
    send(&target, &notice(Event::Ended, 3)).unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap(), "a b|$(id)|ended||", "no shell, no environment");
    let told: Notice =
        serde_json::from_str(&fs::read_to_string(folder.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(told.id, notice(Event::Ended, 3).id);
}

#[test]
fn a_command_that_fails_or_hangs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let tried = |name: &str, text: &str| {
        let program = program(folder.path(), name, text);
        send(
            &target(&format!("kind = 'command'\nto = '{program}'\ntimeout = '1s'")),
            &notice(Event::Began, 1),
        )
        .unwrap_err()
        .why
    };
    let failed = tried("fails", "echo no such pager >&2; exit 3");
    assert!(failed.ends_with("exit status: 3: no such pager"), "{failed}");
    let (started, left) = (Instant::now(), folder.path().join("left"));
    let hung = tried("hangs", &format!("(sleep 3; touch {}) & sleep 60", left.display()));
    assert!(hung.ends_with("not done within 1 s") && started.elapsed() < Duration::from_secs(3), "{hung}");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!left.exists(), "what it had started is ended as well");
    let open = program(folder.path(), "open", "true");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = send(&target(&format!("kind = 'command'\nto = '{open}'")), &notice(Event::Began, 1));
    assert!(refused.unwrap_err().why.contains("others may change it"));
}

#[test]
fn what_waits_outlives_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let targets = [target("kind = 'syslog'\nto = '/nonexistent'")];
    let mut outbox = Outbox::open(&state, &targets);
    for event in [Event::Began, Event::Ended] {
        outbox.tell(&targets, event, &incident_of(event, 1));
    }
    outbox.keep();
    let job = outbox.due(&targets).remove(0);
    outbox.done(&job, Err("refused".into()));
    let line = outbox.lines(&targets).remove(0);
    assert_eq!((line.waiting, line.failed, line.error.as_deref()), (2, 1, Some("refused")));
    drop(outbox);
    let mut next = Outbox::open(&state, &targets);
    let job = next.due(&targets).remove(0);
    assert_eq!(job.notice.event, Event::Began);
    next.done(&job, Ok(()));
    next.keep();
    drop(next);
    let mut last = Outbox::open(&state, &targets);
    assert_eq!(last.due(&targets).remove(0).notice.event, Event::Ended, "what was sent is not sent again");
    drop(last);
    assert!(Outbox::open(&state, &[]).due(&[]).is_empty(), "a target that is gone");
}

#[test]
fn a_line_says_what_matters() {
    let ended = notice(Event::Ended, 1);
    assert_eq!(
        ended.line(),
        "Floodwall on edge: the attack is over: service web, syn, peak 12M packets/s, 90 s"
    );
    let began = Notice { unsaid: 2, ..notice(Event::Began, 1) };
    assert!(
        began.line().ends_with("peak 12M packets/s; 2 shorter ones before were not told"),
        "{}",
        began.line()
    );
    let text = began.text();
    assert!(
        text.contains("44.0.0.0/24 sent 5000 packets, or seems to")
            && text.ends_with("floodwall incident show 20261122T191500Z-1"),
        "{text}"
    );
    let interrupted = Notice::new(
        Event::Ended,
        &Incident { state: Standing::Interrupted, ..incident_of(Event::Ended, 1) },
        "edge",
        1,
    );
    assert!(interrupted.line().contains("the daemon ended during the attack"));
}
