//! Everybody who should be told of an attack is, once, in order, whatever stands in the way.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    alertmanager::Alertmanager,
    cleanup::Folder,
    config::Config,
    flood::{Flood, Order, Segment, flood_of},
    netns::Namespace,
    pair::Family,
    stand::{Stand, wait_for},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// A web server that takes what it is told, unless it is to fail or to be silent for so many requests.
struct Hook {
    url: String,
    fails: Arc<AtomicU32>,
    silent: Arc<AtomicU32>,
    /// Heads and bodies that were taken.
    taken: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Hook {
    fn start(namespace: &Namespace) -> Result<Self> {
        let listener = namespace.run(|| TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let (fails, silent, taken) = <(Arc<AtomicU32>, Arc<AtomicU32>, Arc<Mutex<Vec<_>>>)>::default();
        let hook = Self { url, fails: fails.clone(), silent: silent.clone(), taken: taken.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (fails, silent, taken) = (fails.clone(), silent.clone(), taken.clone());
                // Whoever hangs up has heard enough.
                thread::spawn(move || answer(&stream, &fails, &silent, &taken));
            }
        });
        Ok(hook)
    }

    /// Which events were taken, of which incident.
    fn events(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().map(|(_, body)| (text(&body["event"]), text(&body["attack"]["id"]))).collect()
    }

    fn has(&self, event: &str, number: usize) -> bool {
        self.events().iter().filter(|(told, _)| told == event).count() >= number
    }
}

fn counts_down(counter: &AtomicU32) -> bool {
    counter.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn answer(
    stream: &TcpStream,
    fails: &AtomicU32,
    silent: &AtomicU32,
    taken: &Mutex<Vec<(String, Value)>>,
) -> Result<()> {
    let (mut head, mut reader) = (String::new(), BufReader::new(stream));
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    if counts_down(silent) {
        thread::sleep(Duration::from_mins(1));
        return Ok(());
    }
    let status = if counts_down(fails) { "503 Service Unavailable" } else { "204 No Content" };
    if status.starts_with("204") {
        taken.lock().unwrap_or_else(PoisonError::into_inner).push((head, serde_json::from_slice(&body)?));
    }
    write!(&mut { stream }, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n")?;
    Ok(())
}

fn target(name: &str, lines: &str) -> String {
    format!("[[notify]]\nname = \"{name}\"\nrepeat = \"0s\"\ntimeout = \"30s\"\n{lines}\n")
}

/// All of it, and where commands and sockets leave what they got.
fn config(files: &Path, hook: &Hook, deaf: &Hook, alertmanager: &Alertmanager) -> Result<Config> {
    let at = |name: &str| files.join(name).display().to_string();
    fs::write(at("key"), "whsec_plJ3nmyCDGBKInavdOK15jsl")?;
    fs::set_permissions(at("key"), fs::Permissions::from_mode(0o600))?;
    fs::write(at("tell"), format!("#!/bin/sh\ncat >> {0}; echo >> {0}\n", at("told")))?;
    fs::set_permissions(at("tell"), fs::Permissions::from_mode(0o755))?;
    let rest = [
        "[detect]\nhold = \"2s\"\n".to_owned(),
        target("hook", &format!("kind = \"webhook\"\nto = {:?}\nsign_key_file = {:?}", hook.url, at("key"))),
        target("deaf", &format!("kind = \"webhook\"\nto = {:?}", deaf.url)),
        target("alertmanager", &format!("kind = \"alertmanager\"\nto = {:?}", alertmanager.url())),
        target("command", &format!("kind = \"command\"\nto = {:?}", at("tell"))),
        target("syslog", &format!("kind = \"syslog\"\nto = {:?}", at("log"))),
        target("journal", &format!("kind = \"journal\"\nto = {:?}", at("journal"))),
    ];
    Ok(Config { rest: rest.concat(), ..base() })
}

fn base() -> Config {
    Config::default()
        .service("ports = [\"tcp/80\"]\nsyn = { mode = \"auto\", on = 200000, off = 100000, hold = \"1s\" }")
}

fn flood(stand: &Stand) -> Result<Vec<Flood>> {
    let order = Order { port: 80, nice: 0, ..flood_of(Segment::Syn, Family::V4, 50_000)? };
    Flood::start_all(&stand.pair.client, &[order])
}

/// What a socket got, as text.
fn received(socket: &UnixDatagram) -> Result<Vec<String>> {
    socket.set_nonblocking(true)?;
    let mut bytes = vec![0; 1 << 16];
    let next =
        || socket.recv(&mut bytes).ok().map(|length| String::from_utf8_lossy(&bytes[..length]).into_owned());
    Ok(std::iter::from_fn(next).collect())
}

fn json(stand: &Stand, line: &str) -> Result<Value> {
    Ok(serde_json::from_str(&stand.floodwall.succeed(&format!("{line} --json --socket {{socket}}"))?)?)
}

#[test]
fn everybody_is_told_once() -> Result<()> {
    let mut stand = Stand::new(&base())?;
    let (files, namespace) = (Folder::files()?, stand.pair.server.namespace.clone());
    let (hook, deaf) = (Hook::start(&namespace)?, Hook::start(&namespace)?);
    let alertmanager = Alertmanager::start(&namespace)?;
    let [log, journal] = ["log", "journal"].map(|name| UnixDatagram::bind(files.path().join(name)));
    let (log, journal) = (log?, journal?);
    stand.floodwall.configure(&config(files.path(), &hook, &deaf, &alertmanager)?)?;
    stand.floodwall.succeed("apply --config {config} --socket {socket}")?;

    deaf.fails.store(1, SeqCst);
    let tried = stand.floodwall.cli("notify test --json --socket {socket}")?;
    ensure!(tried.status.code() == Some(8), "one failed: {tried:?}");
    ensure!(hook.events() == [("test".to_owned(), String::new())] && deaf.events().is_empty());
    ensure!(alertmanager.alerts()?.iter().any(|alert| alert["labels"]["alertname"] == "FloodwallTest"));

    // The first tries fail; `deaf` does not even answer.
    hook.fails.store(2, SeqCst);
    deaf.silent.store(1, SeqCst);
    let (began, floods) = (Instant::now(), flood(&stand)?);
    let is_told = || {
        Ok::<_, anyhow::Error>(alertmanager.alerts()?.iter().any(|alert| alert["labels"]["service"] == "web"))
    };
    wait_for("the alert", Duration::from_secs(10), is_told)?;
    let after = began.elapsed();
    wait_for("the webhook", Duration::from_secs(20), || Ok(hook.has("began", 1)))?;
    println!("Alertmanager fires {after:?} behind the flood's first packet");
    ensure!(after < Duration::from_secs(8), "{after:?}");
    drop(floods);
    wait_for("the end", Duration::from_secs(30), || Ok(hook.has("ended", 1)))?;
    wait_for("the alert's end", Duration::from_secs(10), || Ok(!is_told()?))?;

    let incident =
        json(&stand, "incident list")?["incidents"][0]["id"].as_str().context("an incident")?.to_owned();
    let both = [("began", 0), ("ended", 1)].map(|(event, _)| (event.to_owned(), incident.clone()));
    ensure!(hook.events()[1..] == both, "{:?}", hook.events());
    let told = fs::read_to_string(files.path().join("told"))?;
    let told = told.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let events: Vec<_> = told.iter().filter_map(|notice| notice["event"].as_str()).collect();
    ensure!(events == ["test", "began", "ended"] && told[2]["attack"]["id"] == *incident, "{told:?}");
    for (socket, beginning) in [(&log, "an attack began: service web, syn"), (&journal, "FLOODWALL_EVENT")] {
        let got = received(socket)?;
        ensure!(got.len() == 3 && got[1].contains(beginning) && got[2].contains(&incident), "{got:?}");
    }
    let heads = hook.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let ids: BTreeSet<_> = heads
        .iter()
        .filter_map(|(head, _)| head.lines().find(|line| line.starts_with("webhook-id")))
        .collect();
    ensure!(
        ids.len() == 3 && heads.iter().all(|(head, _)| head.contains("webhook-signature: v1,")),
        "{heads:?}"
    );

    let scrape = stand.floodwall.scrape()?;
    let count = |result: &str| {
        scrape.sum("floodwall_notifications_total", &["target=\"hook\"", &format!("result=\"{result}\"")])
    };
    ensure!((count("sent"), count("failed")) == (3.0, 2.0), "{} {}", count("sent"), count("failed"));
    let waiting = scrape.sum("floodwall_notifications_waiting", &["target=\"deaf\""]);
    ensure!((waiting - 2.0).abs() < 0.5, "{waiting} wait");

    // A try that hangs keeps nobody from stopping; what waits is sent by the next daemon.
    let began = Instant::now();
    stand.floodwall.end(Signal::SIGTERM)?;
    ensure!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    stand.floodwall.run()?;
    wait_for("what waited", Duration::from_secs(10), || Ok(deaf.has("ended", 1)))?;
    ensure!(deaf.events() == both, "{:?}", deaf.events());

    // A daemon that dies in an attack leaves nobody waiting for its end.
    let floods = flood(&stand)?;
    wait_for("another beginning", Duration::from_secs(15), || Ok(hook.has("began", 2)))?;
    wait_for("it on the disk", Duration::from_secs(15), || {
        Ok(!json(&stand, "incident list")?["incidents"][1].is_null())
    })?;
    stand.floodwall.end(Signal::SIGKILL)?;
    drop(floods);
    stand.floodwall.run()?;
    wait_for("its end", Duration::from_secs(15), || Ok(hook.has("ended", 2)))?;
    let last = hook.taken.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().context("told")?;
    ensure!(last.1["attack"]["state"] == "interrupted", "{last:?}");
    Ok(())
}
