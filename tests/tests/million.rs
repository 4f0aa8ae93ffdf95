//! Ten million sources, none of them twice, and those who look on: scrapes stay what they were, the daemon stays small, and who reads
//! samples gets each one or is told how many it missed.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    net::IpAddr,
    path::PathBuf,
    process::Child,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Segment, Source, flood_of},
    latency::Tried,
    metrics::Metrics,
    pair::{Family, Wire},
    sched::{self, Cores, stolen},
    server::Kind,
    snmp,
    stand::{PACKETS, Stand, wait_for},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const SOURCES: u64 = 10_000_000;
/// Of each generator while it has their core, so of all of them together.
const PPS: u64 = 450_000;
const AT_MOST: Duration = Duration::from_secs(50);
/// Numbers that each generator has for itself.
const EACH: u32 = 1 << 25;
/// The slow reader sleeps between these scrapes: longer than the daemon remembers.
const ASLEEP: [usize; 2] = [6, 12];

/// What comes, and to which port.
const KINDS: [(Segment, u16); 5] = [
    (Segment::Syn, 80),
    (Segment::Ack, 80),
    (Segment::Udp(53, 64), 40_000),
    (Segment::Ping, 0),
    (Segment::Fragment, 0),
];

fn orders() -> Result<Vec<Order>> {
    let mut orders = Vec::new();
    for (number, (segment, port)) in (0..).zip(KINDS) {
        let sources = [Source::EachV4(number * EACH), Source::EachV6(number * EACH)];
        for (family, source) in Family::BOTH.into_iter().zip(sources) {
            let frames = EACH.into();
            orders.push(Order { source, port, frames, at_most: AT_MOST, ..flood_of(segment, family, PPS)? });
        }
    }
    Ok(orders)
}

/// A scrape, and how long it took.
struct Scrape {
    text: String,
    took: Duration,
}

impl Scrape {
    fn now(stand: &Stand) -> Result<Self> {
        let began = Instant::now();
        let text = stand.floodwall.get("/metrics")?;
        Ok(Self { text, took: began.elapsed() })
    }

    /// Names and labels.
    fn series(&self) -> BTreeSet<&str> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
    fn counted(&self, name: &str) -> Result<u64> {
        Ok(Metrics::parse(&self.text)?.sum(name, &[]) as u64)
    }
}

/// Somebody who reads samples all the time.
struct Reader {
    watch: Child,
    lines: PathBuf,
    remark: PathBuf,
}

/// What a reader got, and what it was told that it missed: behind the data path, and in it.
struct Read {
    lines: Vec<Value>,
    missed: u64,
    lost: u64,
}

impl Reader {
    fn start(stand: &Stand, name: &str, time: Duration) -> Result<Self> {
        let at = |what: &str| stand.floodwall.state().with_file_name(format!("{name}-{what}"));
        let (lines, remark) = (at("lines"), at("remark"));
        let (socket, time) = (stand.floodwall.socket(), format!("{}s", time.as_secs()));
        let socket = socket.to_str().context("socket")?;
        let mut command =
            stand.floodwall.command(&["watch", "--json", "--for", &time, "--socket", socket])?;
        let watch = command.stdout(File::create(&lines)?).stderr(File::create(&remark)?).spawn()?;
        Ok(Self { watch, lines, remark })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.watch.id().cast_signed()), signal)?)
    }

    fn end(&mut self) -> Result<Read> {
        let status = self.watch.wait()?;
        let remark = fs::read_to_string(&self.remark)?;
        ensure!(status.success(), "watch: {status} {remark}");
        let lines = fs::read_to_string(&self.lines)?;
        let lines = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let mut numbers = remark.split_whitespace().filter_map(|word| word.parse().ok());
        let [lost, missed] = [(); 2].map(|()| numbers.next().unwrap_or(0));
        Ok(Read { lines, missed, lost })
    }
}

/// The stand, and where it began.
struct Scene {
    stand: Stand,
    calm: Metrics,
    honest: snmp::Counters,
}

/// What was seen while it went on.
struct Course {
    scrapes: Vec<Scrape>,
    memory: u64,
    /// Parts of a core: the daemon's, the reader's, what the hypervisor took from the victim's.
    cores: [f64; 3],
    visits: Vec<Tried>,
    sent: u64,
    time: Duration,
}

impl Scene {
    fn new() -> Result<Self> {
        let config = Config::default().also("[detect]\nmode = \"act\"\nhold = \"2s\"");
        let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
        stand.pair.pin(Cores::pick()?)?;
        stand.visit_well(100)?;
        // Nothing is under way any more.
        thread::sleep(Duration::from_secs(2));
        let (calm, honest) = (stand.floodwall.scrape()?, snmp::read(&stand.pair.client.namespace)?);
        Ok(Self { stand, calm, honest })
    }

    /// Frames of the flood that the filter has judged, each from a source of its own: what it counted, less what the client's
    /// stack has sent.
    fn arrived(&self) -> Result<u64> {
        let now = snmp::read(&self.stand.pair.client.namespace)?;
        let honest = snmp::risen(&self.honest, &now);
        let honest: u64 =
            ["IpOutRequests", "Ip6OutRequests"].iter().filter_map(|name| honest.get(*name)).sum();
        let counted = self.stand.floodwall.scrape()?.risen(&self.calm, PACKETS, "reason");
        Ok(counted.values().sum::<u64>().saturating_sub(honest))
    }

    #[expect(clippy::cast_precision_loss, reason = "ticks")]
    fn flood(&self, [reader, slow]: [&Reader; 2]) -> Result<Course> {
        let victim = Cores::pick()?.victim;
        let used = || -> Result<[Duration; 2]> {
            Ok([sched::used(self.stand.floodwall.pid()?)?, sched::used(reader.watch.id())?])
        };
        let (before, taken, began) = (used()?, stolen(victim)?, Instant::now());
        let floods = Flood::start_all(&self.stand.pair.client, &orders()?)?;
        let (scrapes, memory, visits) = self.look_on(slow, began + AT_MOST)?;
        let mut sent = 0;
        for flood in floods {
            sent += flood.stop()?.frames;
        }
        let (after, taken_after, time) = (used()?, stolen(victim)?, began.elapsed());
        let share = |who: usize| after[who].saturating_sub(before[who]).as_secs_f64() / time.as_secs_f64();
        let taken = (taken_after.0 - taken.0) as f64 / (taken_after.1 - taken.1).max(1) as f64;
        Ok(Course { scrapes, memory, cores: [share(0), share(1), taken], visits, sent, time })
    }

    /// A scrape a second beside visitors, until all sources have come or it is too late.
    fn look_on(&self, slow: &Reader, deadline: Instant) -> Result<(Vec<Scrape>, u64, Vec<Tried>)> {
        let (mut scrapes, mut memory) = (Vec::new(), 0);
        let over = &AtomicBool::new(false);
        let visits = thread::scope(|scope| -> Result<_> {
            let visitors = Family::BOTH.map(|family| scope.spawn(move || self.visit(family, over)));
            let mut look = || -> Result<()> {
                while self.arrived()? < SOURCES && Instant::now() < deadline {
                    thread::sleep(Duration::from_secs(1));
                    scrapes.push(Scrape::now(&self.stand)?);
                    memory = memory.max(self.stand.floodwall.memory()?);
                    match ASLEEP.iter().position(|second| *second == scrapes.len()) {
                        Some(0) => slow.signal(Signal::SIGSTOP)?,
                        Some(_) => slow.signal(Signal::SIGCONT)?,
                        None => {}
                    }
                }
                Ok(())
            };
            let looked = look();
            over.store(true, Relaxed);
            let visits = visitors.map(|visitor| visitor.join().map_err(|_| anyhow!("a visitor panicked"))?);
            looked.and(visits.into_iter().collect())
        })?;
        Ok((scrapes, memory, visits))
    }

    /// 25 connections a second until it is over.
    fn visit(&self, family: Family, over: &AtomicBool) -> Result<Tried> {
        let mut all = Tried::default();
        while !over.load(Relaxed) {
            all.add(&self.stand.visit(family.server(), 25, 25)?);
        }
        Ok(all)
    }
}

#[test]
fn ten_million_sources_and_those_who_look_on() -> Result<()> {
    let scene = Scene::new()?;
    let stand = &scene.stand;
    let calm = (0..5).map(|_| Scrape::now(stand)).collect::<Result<Vec<_>>>()?;
    let memory = stand.floodwall.memory()?;
    let time = AT_MOST + Duration::from_secs(6);
    let (mut reader, mut slow) = (Reader::start(stand, "reader", time)?, Reader::start(stand, "slow", time)?);
    let course = scene.flood([&reader, &slow])?;
    let arrived = scene.arrived()?;
    incidents_are_kept(stand)?;
    let (read, slowly) = (reader.end()?, slow.end()?);
    let after = Scrape::now(stand)?;
    let written = |scrape: &Scrape| scrape.counted("floodwall_events_total");
    let samples = written(&after)? - written(&calm[0])?;
    let packets = stood_for(&read, samples);
    println!(
        "{}; {}; {}; {}; {samples} samples for {packets} packets, {}; a reader that slept got {} of them and was told that it missed {}",
        sources(arrived, &course),
        scrapes(&calm, &course, &after),
        costs(&course, memory),
        visitors(&course),
        of_reader(&read),
        slowly.lines.len(),
        slowly.missed
    );
    ensure!(arrived >= SOURCES, "{arrived} sources");
    no_source_came_twice(&read.lines)?;
    nothing_grew(&calm, &course, &after)?;
    costs_little(&course, memory)?;
    for read in [&read, &slowly] {
        adds_up(read, &calm[0], &after)?;
    }
    ensure!(
        read.missed * 10 < samples && slowly.missed > 1000,
        "missed {} and {}",
        read.missed,
        slowly.missed
    );
    ensure!(packets.abs_diff(arrived) * 10 < arrived, "samples for {packets} packets of {arrived}");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn sources(arrived: u64, course: &Course) -> String {
    let (seconds, taken) = (course.time.as_secs_f64(), course.cores[2] * 100.0);
    let (pps, sent) = (arrived as f64 / seconds, course.sent);
    format!("{arrived} sources ({sent} sent) in {seconds:.0} s, {pps:.0}/s, {taken:.0} % of the core taken")
}

fn slowest(scrapes: &[Scrape]) -> Duration {
    scrapes.iter().map(|scrape| scrape.took).max().unwrap_or_default()
}

fn largest(scrapes: &[Scrape]) -> usize {
    scrapes.iter().map(|scrape| scrape.text.len()).max().unwrap_or(0)
}

fn scrapes(calm: &[Scrape], course: &Course, after: &Scrape) -> String {
    let [before, during] = [calm, &course.scrapes].map(|scrapes| (largest(scrapes), slowest(scrapes)));
    format!(
        "{} scrapes of {} series, {} bytes calm, {} at most, {} after, {:.1?} calm, {:.1?} at most",
        course.scrapes.len(),
        after.series().len(),
        before.0,
        during.0,
        after.text.len(),
        before.1,
        during.1
    )
}

fn costs(course: &Course, memory: u64) -> String {
    let [daemon, watch] = [0, 1].map(|who: usize| course.cores[who] * 100.0);
    let grown = course.memory.saturating_sub(memory) >> 10;
    let calm = memory >> 20;
    format!(
        "daemon {daemon:.1} % of a core, {calm} MiB calm and {grown} KiB more; watch {watch:.1} % of a core"
    )
}

fn visitors(course: &Course) -> String {
    let of = |tried: &Tried| {
        let [median, slow] = [50, 99].map(|percent| tried.percentile_ms(percent));
        format!("{} of {}, {median:.2}/{slow:.2} ms", tried.succeeded, tried.tried)
    };
    format!("visitors {}", course.visits.iter().map(of).collect::<Vec<_>>().join(" and "))
}

fn of_reader(read: &Read) -> String {
    let Read { lines, missed, lost } = read;
    format!("a reader got {} and missed {missed}, {lost} lost in the data path", lines.len())
}

/// The same series, as many bytes, and about as fast.
fn nothing_grew(calm: &[Scrape], course: &Course, after: &Scrape) -> Result<()> {
    let series = calm[0].series();
    for scrape in course.scrapes.iter().chain([after]) {
        let others = scrape.series();
        let differ: Vec<_> = series.symmetric_difference(&others).collect();
        ensure!(differ.is_empty(), "came or went: {differ:?}");
    }
    ensure!(series.len() > 300 && course.scrapes.len() > ASLEEP[1], "{} scrapes", course.scrapes.len());
    ensure!(largest(&course.scrapes).max(after.text.len()) * 20 <= largest(calm) * 21, "bytes");
    ensure!(slowest(&course.scrapes) < Duration::from_millis(250), "{:?}", slowest(&course.scrapes));
    Ok(())
}

fn costs_little(course: &Course, memory: u64) -> Result<()> {
    let [daemon, watch, _] = course.cores;
    ensure!(daemon < 0.15 && watch < 0.05, "parts of a core: daemon {daemon:.3}, watch {watch:.3}");
    ensure!(course.memory < memory + (32 << 20), "{} bytes, {memory} when it was calm", course.memory);
    for tried in &course.visits {
        ensure!(tried.tried > 200 && tried.failed() == 0, "visitors: {}", tried.summary());
    }
    Ok(())
}

/// What a reader got and was told that it missed is what the daemon has read, and what the data path lost.
fn adds_up(read: &Read, before: &Scrape, after: &Scrape) -> Result<()> {
    let risen = |name: &str| -> Result<u64> { Ok(after.counted(name)? - before.counted(name)?) };
    let (written, lost) = (risen("floodwall_events_total")?, risen("floodwall_events_lost_total")?);
    let got = read.lines.len() as u64;
    ensure!(got + read.missed == written, "{written} written, {got} read, {} missed", read.missed);
    ensure!(read.lost == lost, "{lost} lost, told of {}", read.lost);
    let numbers: Vec<_> = read.lines.iter().filter_map(|line| line["number"].as_u64()).collect();
    ensure!(numbers.len() as u64 == got && numbers.is_sorted_by(|a, b| a < b), "each once, in order");
    // Both count from the daemon's start on.
    let newest = after.counted("floodwall_events_total")?;
    ensure!(numbers.last() == Some(&newest), "the last of {newest} is {:?}", numbers.last());
    Ok(())
}

/// Packets, by the weights of samples.
fn stood_for(read: &Read, samples: u64) -> u64 {
    let weight: u64 = read.lines.iter().filter_map(|line| line["weight"].as_u64()).sum();
    weight * samples / read.lines.len().max(1) as u64
}

/// As far as they were sampled.
fn no_source_came_twice(lines: &[Value]) -> Result<()> {
    let honest = Family::BOTH.map(Family::client);
    let mut seen = HashSet::new();
    for line in lines {
        let source: IpAddr = line["packet"]["source"].as_str().context("a source")?.parse()?;
        if !honest.contains(&source) {
            ensure!(seen.insert(subscriber(source)), "{source} came twice");
        }
    }
    ensure!(seen.len() > 50_000, "{} of the samples were forged", seen.len());
    Ok(())
}

/// Who has an IPv6 address has its /64.
fn subscriber(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

fn incidents(stand: &Stand) -> Result<Vec<Value>> {
    // Code 1: there is none.
    let said = stand.floodwall.cli("incident list --json --socket {socket}")?;
    let said: Value = serde_json::from_slice(&said.stdout)?;
    Ok(said["incidents"].as_array().context("a list")?.clone())
}

/// Every kind of the flood is in an incident that has ended and can be exported, and nobody is accused: all were forged.
fn incidents_are_kept(stand: &Stand) -> Result<()> {
    wait_for("the end", Duration::from_secs(20), || {
        let all = incidents(stand)?;
        Ok(!all.is_empty() && all.iter().all(|incident| incident["state"] == "over"))
    })?;
    let mut vectors = BTreeSet::new();
    for incident in incidents(stand)? {
        let found = incident["vectors"].as_array().into_iter().flatten();
        vectors.extend(found.filter_map(|vector| vector.as_str().map(str::to_owned)));
        is_exported(stand, incident["id"].as_str().context("id")?)?;
    }
    let sent = ["ack", "fragment", "icmp", "reflection_dns", "syn"];
    ensure!(sent.iter().all(|vector| vectors.contains(*vector)), "{vectors:?}");
    Ok(())
}

fn is_exported(stand: &Stand, id: &str) -> Result<()> {
    let export =
        |more: &str| stand.floodwall.cli(&format!("incident export {id} {more} --socket {{socket}}"));
    let report = String::from_utf8(export("")?.stdout)?;
    ensure!(report.starts_with("# Incident") && report.contains("## Course"), "{report}");
    let whole: Value = serde_json::from_slice(&export("--format json")?.stdout)?;
    ensure!(whole["id"] == id && whole["attack"]["ended"].is_u64(), "{whole:#}");
    let xarf = export("--format xarf --org Example --contact abuse@example.net")?;
    ensure!(xarf.status.code() == Some(1) && xarf.stdout.trim_ascii() == b"[]", "{xarf:?}");
    Ok(())
}
