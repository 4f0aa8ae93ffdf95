//! Sampled packets as operators see them: watched, captured, explained, tried with another configuration.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    config::Config,
    flood::{Flood, Segment, flood_of},
    pair::{Family, SERVER_V4},
    sched,
    stand::{Stand, wait_for},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Who sends.
const SENDER: Ipv4Addr = Ipv4Addr::new(192, 31, 196, 9);
const PORT: u16 = 9999;
/// Its datagrams have data.
const DATA: &[u8] = b"a letter to somebody else, that is nobody's business";

fn config(events: &str) -> Config {
    Config::default().also(&format!("[events]\n{events}\n"))
}

/// Runs `work` while the sender sends 400 datagrams a second.
fn meanwhile<T>(stand: &Stand, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let client = &stand.pair.client;
    client.namespace.ip(&format!("addr replace {SENDER}/24 dev {}", client.device))?;
    let socket = client.namespace.run(|| UdpSocket::bind((SENDER, 40_000)).context("sender"))?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                // Refused now and then: nobody listens.
                let _ = socket.send_to(DATA, (SERVER_V4, PORT));
                thread::sleep(Duration::from_micros(2500));
            }
        });
        let done = work();
        stop.store(true, Relaxed);
        done
    })
}

fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Fields of a capture's packets, as tshark reads them.
fn dissected(file: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-r", file, "-n", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().context("tshark")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

#[test]
fn a_drop_is_watched_captured_and_explained() -> Result<()> {
    let stand = Stand::new(&config("sample = 1"))?;
    let floodwall = &stand.floodwall;
    floodwall.succeed(&format!("ban add {SENDER} --reason test --socket {{socket}}"))?;
    let at = |name: &str| floodwall.state().with_file_name(name).display().to_string();
    let (plain, private) = (at("plain.pcapng"), at("private.pcapng"));
    meanwhile(&stand, || {
        let watched =
            floodwall.succeed("watch --json --reason banned --count 20 --for 20s --socket {socket}")?;
        let watched = lines(&watched)?;
        ensure!(watched.len() == 20, "{watched:?}");
        let mut numbers = BTreeSet::new();
        for line in &watched {
            let packet = &line["packet"];
            ensure!(line["verdict"] == "drop" && line["reason"] == "banned" && line["weight"] == 1, "{line}");
            ensure!(packet["source"] == SENDER.to_string() && packet["ports"][1] == PORT, "{line}");
            ensure!(line["frame"].is_null() && line["bytes"] == 42 + DATA.len(), "{line}");
            numbers.insert(line["number"].as_u64());
        }
        ensure!(numbers.len() == 20, "each once");
        let text =
            floodwall.succeed("watch --source 192.31.196.0/24 --count 5 --for 20s --socket {socket}")?;
        ensure!(text.lines().count() == 5 && text.contains("UDP 192.31.196.9:40000 > "), "{text}");
        let none = floodwall.succeed("watch --reason land --for 1s --socket {socket}")?;
        ensure!(none.trim().is_empty(), "{none}");
        let unknown = floodwall.cli("watch --service nobody --for 1s --socket {socket}")?;
        let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
        ensure!(
            unknown.status.code() == Some(2) && said.contains("there is no service \"nobody\""),
            "{said}"
        );
        floodwall
            .succeed(&format!("capture {plain} --reason banned --count 50 --for 20s --socket {{socket}}"))?;
        let said = floodwall.succeed(&format!(
            "capture {private} --reason banned --private --count 5 --for 20s --socket {{socket}}"
        ))?;
        ensure!(said.contains("5 packets in "), "{said}");
        Ok(())
    })?;
    let again = floodwall.cli(&format!("capture {plain} --count 1 --socket {{socket}}"))?;
    ensure!(!again.status.success(), "a capture that is there is not overwritten");
    let fields = ["frame.comment", "ip.src", "udp.dstport", "frame.interface_name", "frame.len", "data.data"];
    let read = dissected(&plain, &fields)?;
    ensure!(read.len() == 50, "{} packets", read.len());
    let sender = SENDER.to_string();
    let device = &stand.pair.server.device;
    let (length, data) = ((42 + DATA.len()).to_string(), hexadecimal(DATA));
    for packet in &read {
        let comment = "floodwall: verdict=drop reason=banned service=* weight=1";
        ensure!(*packet == [comment, &sender, "9999", device, &length, &data], "{packet:?}");
    }
    let times = dissected(&plain, &["frame.time_epoch"])?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let age = now - times[0][0].parse::<f64>()?;
    ensure!((0.0..60.0).contains(&age), "captured {age} s ago");
    for packet in dissected(&private, &["ip.src", "eth.src", "data.data"])? {
        let nothing = "00".repeat(DATA.len());
        ensure!(packet == ["192.31.196.0", "00:00:00:00:00:00", &nothing], "{packet:?}");
    }
    explained(&stand)
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The last drop, now and when the reason is gone.
fn explained(stand: &Stand) -> Result<()> {
    let floodwall = &stand.floodwall;
    let explain = |arguments: &str| -> Result<Value> {
        let line = format!("explain --json --last {arguments} --pins {{pins}} --socket {{socket}}");
        Ok(serde_json::from_str(&floodwall.succeed(&line)?)?)
    };
    let told = explain(&SENDER.to_string())?;
    ensure!(
        told["verdict"] == "drop" && told["reason"] == "banned" && told["was"]["reason"] == "banned",
        "{told}"
    );
    floodwall.succeed(&format!("ban del {SENDER} --socket {{socket}}"))?;
    let told = explain("192.31.196.0/24")?;
    ensure!(told["reason"] != "banned" && told["was"]["reason"] == "banned", "{told}");
    let none = floodwall.cli("explain --last 9.9.9.9 --wait 1s --pins {pins} --socket {socket}")?;
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    ensure!(none.status.code() == Some(1) && said.contains("no drop of 9.9.9.9"), "{said}");
    // Another reason, that is waited for.
    floodwall.succeed("ban add 192.31.196.9 --socket {socket}")?;
    meanwhile(stand, || {
        let told = explain(&format!("{SENDER} --wait 20s"))?;
        ensure!(
            told["packet"].as_str().is_some_and(|packet| packet.starts_with("UDP 192.31.196.9")),
            "{told}"
        );
        Ok(())
    })
}

#[test]
fn a_candidate_is_tried_on_live_traffic() -> Result<()> {
    let stand = Stand::new(
        &config("sample = 1").service("ports = [\"udp/9999\", \"tcp/80\"]\nsyn = { mode = \"cookie\" }"),
    )?;
    let floodwall = &stand.floodwall;
    let candidate = floodwall.config().with_file_name("candidate.toml");
    let text = String::from_utf8(floodwall.written()?)?;
    let try_it = |more: &str| -> Result<(Option<i32>, Value)> {
        fs::write(&candidate, format!("{text}\n{more}"))?;
        let line = format!(
            "replay --json --quiet --live 2s --against {} --pins {{pins}} --socket {{socket}}",
            candidate.display()
        );
        let output = floodwall.cli(&line)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), serde_json::from_slice(&output.stdout).context(said)?))
    };
    meanwhile(&stand, || {
        let (code, same) = try_it("")?;
        ensure!(code == Some(0) && same["changed"] == 0 && same["packets"].as_u64() > Some(100), "{same}");
        let (code, other) = try_it(&format!("[lists]\nblock = [\"{SENDER}\"]"))?;
        ensure!(code == Some(1) && other["changed"].as_u64() > Some(100), "{other}");
        let change = &other["changes"][0];
        ensure!(change["from"]["verdict"] == "pass" && change["to"]["reason"] == "block_list", "{change}");
        // SYNs that were answered are SYNs again.
        thread::scope(|scope| {
            let visits = scope.spawn(|| stand.visit(SERVER_V4.into(), 50, 150));
            let (_, other) = try_it(
                "[[rule]]\nname = \"no\"\naction = \"drop\"\nproto = \"tcp\"\nflags = \"syn,!ack\"\n",
            )?;
            let changes = other["changes"].as_array().context("changes")?;
            let syn = |change: &&Value| {
                change["from"]["reason"] == "cookie_sent" && change["to"]["verdict"] == "drop"
            };
            ensure!(changes.iter().any(|change| syn(&change)), "{other}");
            visits.join().expect("visits").map(drop)
        })
    })
}

/// ^C, or a service manager's SIGTERM, ends what nobody has set an end to: what it has seen is whole, and told.
#[test]
fn whoever_is_interrupted_says_what_was_seen() -> Result<()> {
    let stand = Stand::new(&config("sample = 1"))?;
    stand.floodwall.succeed(&format!("ban add {SENDER} --socket {{socket}}"))?;
    let file = stand.floodwall.state().with_file_name("until.pcapng");
    let (name, socket) = (file.display().to_string(), stand.floodwall.socket().display().to_string());
    meanwhile(&stand, || {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let mut capture =
                stand.floodwall.command(&["capture", &name, "--verdict", "drop", "--socket", &socket])?;
            let capture = capture.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            wait_for("a capture", Duration::from_secs(10), || {
                Ok(fs::metadata(&file).is_ok_and(|found| found.len() > 20_000))
            })?;
            kill(Pid::from_raw(capture.id().try_into()?), signal)?;
            let output = capture.wait_with_output()?;
            let (said, packets) = (String::from_utf8(output.stdout)?, dissected(&name, &["ip.src"])?);
            ensure!(output.status.success() && packets.len() > 20, "{signal}: {}: {said}", output.status);
            ensure!(said.contains(&format!("{} packets in ", packets.len())), "{signal}: {said}");
            fs::remove_file(&file)?;
        }
        Ok(())
    })
}

/// Looking takes next to nothing, even where there is much to see.
#[test]
fn watching_a_flood_is_cheap() -> Result<()> {
    let stand = Stand::new(&config(""))?;
    let flood = Flood::start(&stand.pair.client, &flood_of(Segment::SynAck, Family::V4, 200_000)?)?;
    let lost = || Ok(stand.floodwall.scrape()?.sum("floodwall_events_total", &[]) > 1000.0);
    wait_for("samples", Duration::from_secs(10), lost)?;
    let used = |work: &dyn Fn() -> Result<()>| -> Result<Duration> {
        let before = sched::used(stand.floodwall.pid()?)?;
        work()?;
        Ok(sched::used(stand.floodwall.pid()?)?.saturating_sub(before))
    };
    let alone = used(&|| {
        thread::sleep(Duration::from_secs(5));
        Ok(())
    })?;
    let watched = std::cell::Cell::new(0);
    let both = used(&|| {
        let text = stand.floodwall.succeed("watch --json --for 5s --socket {socket}")?;
        watched.set(text.lines().count());
        Ok(())
    })?;
    let sent = flood.stop()?;
    let share = |time: Duration| time.as_secs_f64() / 5.0 * 100.0;
    println!(
        "{:.0} packets/s, {} samples watched; the daemon took {:.1} % of a core, {:.1} % with a reader",
        sent.pps(),
        watched.get(),
        share(alone),
        share(both)
    );
    ensure!(watched.get() > 1000, "{} samples", watched.get());
    // The aim is 5 for all of it; a busy machine doubles what a turn takes.
    ensure!(share(both) < 10.0, "{:.1} % of a core", share(both));
    Ok(())
}

#[test]
fn without_samples_there_is_a_word() -> Result<()> {
    let stand = Stand::new(&Config::default().also("[detect]\nmode = \"off\""))?;
    let output = stand.floodwall.cli("watch --count 1 --socket {socket}")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && said.contains("detect.mode"), "{said}");
    Ok(())
}
