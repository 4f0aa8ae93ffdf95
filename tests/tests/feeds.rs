//! Three feeds of different formats with a million prefixes; poisoned, gone, and back after a restart.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fastrand::Rng;
use filter_common::reason::Reason;
use filter_tests::{
    cleanup::Folder,
    config::Config,
    filter::Filter,
    packet::ip,
    pair::{Pair, Wire},
    stand::wait_for,
};
use nix::sys::signal::Signal;

const MIB: u64 = 1 << 20;

/// A prefix of IPv4 somewhere in 16.0.0.0 to 111.255.255.255, seldom wide.
fn net_v4(random: &mut Rng) -> String {
    let length = match random.u8(..) {
        0..4 => 20,
        4..70 => 24,
        70..90 => 28,
        _ => 32,
    };
    let address = random.u32(0x1000_0000..0x7000_0000);
    format!("{}/{length}", Ipv4Addr::from_bits(address & u32::MAX << (32 - length)))
}

fn net_v6(random: &mut Rng) -> String {
    let address = random.u128(..) >> 3 | 1 << 125;
    let length = [48, 64, 128][random.usize(..3)];
    format!("{}/{length}", Ipv6Addr::from_bits(address & u128::MAX << (128 - length)))
}

fn plain(seed: u64, count: usize) -> String {
    let mut random = Rng::with_seed(seed);
    (1..count)
        .fold(String::from("# made by a test\n44.1.2.3\n"), |text, _| text + &net_v4(&mut random) + "\n")
}

fn ipset(seed: u64, count: usize) -> String {
    let mut random = Rng::with_seed(seed);
    let head = String::from("create bad hash:net family inet timeout 600\nadd bad 45.1.2.3 timeout 9\n");
    (1..count).fold(head, |text, _| text + "add bad " + &net_v4(&mut random) + " timeout 599\n")
}

fn spamhaus(seed: u64, v4: usize, v6: usize) -> String {
    let (mut random, mut text) = (Rng::with_seed(seed), String::new());
    let mut line = |cidr: &str| {
        let _ = writeln!(text, "{{\"cidr\":\"{cidr}\",\"sblid\":\"SBL1\",\"rir\":\"x\"}}");
    };
    line("46.1.2.0/24");
    line("2a00:77::/48");
    (1..v4).for_each(|_| line(&net_v4(&mut random)));
    (1..v6).for_each(|_| line(&net_v6(&mut random)));
    let _ = writeln!(text, "{{\"type\":\"metadata\",\"timestamp\":1,\"records\":{}}}", v4 + v6);
    text
}

/// What the server says: a whole answer, or one that never ends.
#[derive(Clone)]
enum Says {
    Body(Arc<String>, u64),
    Endless,
    Nothing,
}

fn answer(stream: &mut TcpStream, says: &Says) -> Result<()> {
    let (mut head, mut reader) = (String::new(), BufReader::new(stream.try_clone()?));
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    match says {
        Says::Body(_, tag) if head.contains(&format!("\"{tag}\"")) => {
            write!(stream, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")?;
        }
        Says::Body(body, tag) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nETag: \"{tag}\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )?;
        }
        Says::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b'#'; 4096])?;
                stream.write_all(b"\n")?;
            }
        }
        Says::Nothing => {}
    }
    Ok(())
}

/// A server beside the daemon, on its loopback device.
fn serve(pair: &Pair, says: Arc<Mutex<Says>>) -> Result<String> {
    let listener = pair.server.namespace.run(|| TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}/drop.json", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let says = says.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Whoever hangs up has heard enough.
            thread::spawn(move || answer(&mut { stream }, &says));
        }
    });
    Ok(url)
}

fn frame(source: &str) -> Vec<u8> {
    ip(source, if source.contains(':') { "2620:4f:8000::2" } else { "192.31.196.2" }).syn(9999).bytes()
}

const MANAGED: &str = "44.200.0.9";

/// That the feeds block what they list, and nobody else.
fn blocks(filter: &mut Filter, blocked: &[&str], passed: &[&str]) -> Result<()> {
    filter.again()?;
    for source in blocked {
        filter.expect(source, &frame(source), Reason::BlockList)?;
    }
    for source in passed {
        filter.expect(source, &frame(source), Reason::Pass)?;
    }
    filter.expect(MANAGED, &frame(MANAGED), Reason::Management)?;
    Ok(())
}

fn states(filter: &Filter) -> Result<BTreeMap<String, (String, bool)>> {
    let list = filter.floodwall.succeed("feed list --json --socket {socket}")?;
    let list: serde_json::Value = serde_json::from_str(&list)?;
    let feeds = list["feeds"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let line = |feed: serde_json::Value| {
        (text(&feed["name"]), (text(&feed["state"]), feed["in_force"].as_bool() == Some(true)))
    };
    Ok(feeds.into_iter().map(line).collect())
}

/// That an update is refused with those words, said once in the log, and changes nothing.
fn refused(filter: &Filter, name: &str, words: &str) -> Result<()> {
    let count = |said: String| {
        let about = format!("feed {name}:");
        said.lines().filter(|line| line.contains(&about) && line.contains(words)).count()
    };
    let before = count(filter.floodwall.said());
    for _ in 0..2 {
        let output = filter.floodwall.cli(&format!("feed update {name} --socket {{socket}}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(6) && said.contains(words),
            "{name}: {:?} {said}",
            output.status
        );
    }
    let after = count(filter.floodwall.said());
    ensure!(after == before + 1, "{name}: said {} times", after - before);
    eprintln!("{name} refused: {words}");
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    // As whoever keeps lists should do it.
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

const BLOCKED: [&str; 4] = ["44.1.2.3", "45.1.2.3", "46.1.2.200", "2a00:77::9"];

#[test]
fn a_million_prefixes_of_three_feeds() -> Result<()> {
    let (folder, pair) = (Folder::files()?, Pair::new(Wire::Cable)?);
    let [plain_file, ipset_file] = ["plain", "ipset"].map(|name| folder.path().join(name));
    let (plain_text, ipset_text) = (plain(7, 400_000), ipset(8, 300_000));
    write(&plain_file, &plain_text)?;
    write(&ipset_file, &ipset_text)?;
    let drop_text = Arc::new(spamhaus(9, 200_000, 100_000));
    let says = Arc::new(Mutex::new(Says::Body(drop_text.clone(), 1)));
    let say = |what: Says| *says.lock().unwrap_or_else(PoisonError::into_inner) = what;
    let url = serve(&pair, says.clone())?;
    let feeds = format!(
        "[[feed]]\nname = \"plain\"\nsource = \"{}\"\n[[feed]]\nname = \"ipset\"\nsource = \"file://{}\"\n\
         [[feed]]\nname = \"drop\"\nsource = \"{url}\"\ntimeout = \"20s\"\n",
        plain_file.display(),
        ipset_file.display()
    );
    // Nobody's address may be listed that has to get through.
    let config = Config { management: vec!["44.200.0.0/16".to_owned()], ..Config::default() }.also(&feeds);
    let mut filter = Filter::rehearsed(pair, &config, false)?;
    let start = Instant::now();
    wait_for("all feeds", Duration::from_secs(90), || {
        Ok(states(&filter)?.values().filter(|(_, in_force)| *in_force).count() == 3)
    })?;
    eprintln!(
        "1,000,000 prefixes from three feeds in force {:?} after the daemon was ready",
        start.elapsed()
    );
    blocks(&mut filter, &BLOCKED, &["112.0.0.1", "2a00:78::9"])?;
    let said = explained(&filter, BLOCKED[0])?;
    ensure!(said.contains("feed plain\n") && said.contains("feed show plain 44.1.2.3"), "{said}");
    ensure!(doctor(&filter)?.contains("3 in force"), "{}", doctor(&filter)?);
    let memory = filter.floodwall.memory()? / MIB;
    eprintln!("the daemon has {memory} MiB");
    ensure!(memory < 128, "{memory} MiB");
    let metrics = filter.floodwall.scrape()?;
    let entries = metrics.sum("floodwall_feed_entries", &[]);
    ensure!(entries.total_cmp(&1_000_000.0).is_eq(), "{entries} entries");

    poison(&mut filter, &plain_file, &ipset_file, &say)?;
    update_while_an_apply_waits(&mut filter, &config, &plain_file, &plain_text)?;

    // Offline, and from nothing: the copies are in force before the first packet.
    say(Says::Nothing);
    fs::remove_file(&plain_file)?;
    fs::remove_file(&ipset_file)?;
    filter.floodwall.end(Signal::SIGKILL)?;
    let said = explained(&filter, BLOCKED[0])?;
    ensure!(said.contains("reason=block_list") && !said.contains("feed plain"), "without a daemon: {said}");
    eprintln!("restarted without sources, ready after {:?}", filter.floodwall.run()?);
    blocks(&mut filter, &BLOCKED, &["112.0.0.1"])?;
    filter.floodwall.end(Signal::SIGTERM)?;
    filter.floodwall.succeed("detach --pins {pins}")?;
    eprintln!("and with programs made anew, after {:?}", filter.floodwall.run()?);
    blocks(&mut filter, &BLOCKED, &["112.0.0.1"])?;
    wait_for("complaints", Duration::from_secs(20), || {
        Ok(states(&filter)?.values().all(|(state, in_force)| state == "failing" && *in_force))
    })?;
    ensure!(doctor(&filter)?.contains("plain: failing"), "{}", doctor(&filter)?);
    eprintln!("the daemon has {} MiB", filter.floodwall.memory()? / MIB);
    Ok(())
}

fn explained(filter: &Filter, source: &str) -> Result<String> {
    filter.floodwall.succeed(&format!("explain --src {source} --pins {{pins}} --socket {{socket}}"))
}

/// What the doctor says, whatever else it finds on this machine.
fn doctor(filter: &Filter) -> Result<String> {
    let output = filter.floodwall.cli("doctor --config {config} --pins {pins}")?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Each is refused or cut; what was in force stays.
fn poison(filter: &mut Filter, plain_file: &Path, ipset_file: &Path, say: &dyn Fn(Says)) -> Result<()> {
    let program = filter.floodwall.pinned()?;
    let program = |filter: &Filter| -> Result<_> {
        let interfaces = filter.pair.server.namespace.run(|| program.interfaces())?;
        Ok(interfaces.first().and_then(|interface| interface.xdp_program))
    };
    let before = program(filter)?;
    write(plain_file, "0.0.0.0/0\n::/0\n")?;
    refused(filter, "plain", "no entry")?;
    write(plain_file, &plain(7, 190_000))?;
    refused(filter, "plain", "190000 entries instead of 400000")?;
    fs::write(plain_file, [&b"\xff\xfe"[..], &[b'1', 0].repeat(500)].concat())?;
    refused(filter, "plain", "UTF-16")?;
    fs::File::create(plain_file)?.set_len(1 << 30)?;
    refused(filter, "plain", "larger than")?;
    let (mut random, mut garbage) = (Rng::with_seed(3), String::new());
    for _ in 0..100_000 {
        let _ = writeln!(garbage, "add bad {:x} x", random.u64(..));
    }
    write(ipset_file, &garbage)?;
    refused(filter, "ipset", "make no sense")?;
    let cut = spamhaus(9, 200_000, 100_000);
    say(Says::Body(Arc::new(cut[..cut.len() / 3 * 2].to_owned()), 2));
    refused(filter, "drop", "cut off")?;
    say(Says::Endless);
    refused(filter, "drop", "larger than")?;
    ensure!(program(filter)? == before, "nothing was loaded");
    blocks(filter, &BLOCKED, &["112.0.0.1"])?;
    let states = states(filter)?;
    ensure!(states.values().all(|(state, in_force)| state == "failing" && *in_force), "{states:?}");
    let metrics = filter.floodwall.scrape()?;
    let refusals = metrics.sum("floodwall_feed_looks_total", &["result=\"refused\""]);
    ensure!(refusals >= 14.0, "{refusals} refusals counted");
    Ok(())
}

/// A feed is no revision: what waits goes on waiting.
fn update_while_an_apply_waits(
    filter: &mut Filter,
    config: &Config,
    plain_file: &Path,
    plain_text: &str,
) -> Result<()> {
    filter.floodwall.configure(&Config { cookie: "period = \"128s\"".to_owned(), ..config.clone() })?;
    filter.floodwall.succeed("apply --confirm 60s --config {config} --socket {socket}")?;
    write(plain_file, &format!("{plain_text}113.9.9.9\n44.0.0.0/8\n0.0.0.0/0\n"))?;
    let would = filter.floodwall.succeed("feed update plain --dry-run --socket {socket}")?;
    ensure!(would.contains("too wide"), "{would}");
    blocks(filter, &BLOCKED, &["113.9.9.9"])?;
    let start = Instant::now();
    let said = filter.floodwall.succeed("feed update plain --socket {socket}")?;
    eprintln!("an update of 400,000 among 1,000,000 prefixes took {:?}: {}", start.elapsed(), said.trim());
    // Management was in it, and is cut out.
    blocks(filter, &["113.9.9.9", "44.9.9.9", "45.1.2.3"], &["112.0.0.1"])?;
    let revisions = filter.floodwall.succeed("history --socket {socket}")?;
    ensure!(revisions.contains("?    2") && !revisions.contains("    3"), "{revisions}");
    filter.floodwall.succeed("confirm --socket {socket}")?;
    write(plain_file, plain_text)?;
    filter.floodwall.succeed("feed update plain --socket {socket}")?;
    blocks(filter, &BLOCKED, &["113.9.9.9", "44.9.9.9"])
}
