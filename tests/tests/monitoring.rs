//! The whole way: a flood, the daemon, a real Prometheus that scrapes it, and every query of every dashboard and alert.

use std::{env, fs, os::unix::net::UnixDatagram, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use filter_tests::{
    cleanup::Folder,
    config::Config,
    drawing,
    flood::{Flood, Order, Segment, Sent, flood_of},
    pair::{Family, SERVER_V4},
    prometheus::{Prometheus, Series, now},
    stand::{Stand, wait_for},
};
use filter_user::observe::{alerts, dashboards};
use serde_json::Value;

const SYNS: u64 = 20_000;
const FLOOD: Duration = Duration::from_secs(14);
/// With a scrape a second.
const INTERVAL: &str = "5s";

/// Everything that a panel may ask about is there: a service, a rule, a feed, a ban, somebody who is told and his socket.
fn config(folder: &Path) -> Result<(Config, UnixDatagram)> {
    let feed = folder.join("feed.txt");
    fs::write(&feed, "44.5.0.0/16\n44.6.6.6\n")?;
    let config = Config::default()
        .service("ports = [\"tcp/80\"]\nsyn = { mode = \"auto\", on = 1000, off = 500, hold = \"2s\" }");
    let log = folder.join("log");
    let socket = UnixDatagram::bind(&log)?;
    let config = config.also(&format!(
        "[[rule]]\nname = \"echo\"\nproto = \"udp\"\ndport = \"7\"\naction = \"count\"\n\
         [[feed]]\nname = \"local\"\nsource = \"{}\"\n[detect]\nmode = \"act\"\n\
         [[notify]]\nname = \"log\"\nkind = \"syslog\"\nto = \"{}\"\n",
        feed.display(),
        log.display()
    ));
    Ok((config, socket))
}

/// The hosts and services are all of them.
fn filled_in(expr: &str) -> String {
    let all = [("$job", ".*"), ("$instance", ".*"), ("$service", ".*"), ("$__rate_interval", INTERVAL)];
    all.into_iter().fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

/// Without the value that is drawn where there is nothing.
fn bare(expr: &str) -> &str {
    expr.split_once(" or on () vector(")
        .or_else(|| expr.split_once(" or vector("))
        .map_or(expr, |(bare, _)| bare)
}

fn models() -> Result<Vec<(String, Value)>> {
    let files = dashboards::files().into_iter();
    let of_grafana = files.filter_map(|(path, text)| {
        let name = path.strip_prefix("grafana/dashboards/")?.strip_suffix(".json")?.to_owned();
        Some((name, text))
    });
    of_grafana.map(|(name, text)| Ok((name, serde_json::from_str(&text)?))).collect()
}

/// Names of panels, and their queries, filled in.
fn queries(model: &Value) -> Vec<(String, String)> {
    let panels = model["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| (text(&panel["title"]), filled_in(&text(&target["expr"]))))
    });
    targets.collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn total(series: &[Series]) -> f64 {
    series.iter().filter_map(|series| series.points.last()).map(|(_, value)| value).sum()
}

/// What happened, and when.
struct Story {
    began: f64,
    peak: f64,
    ended: f64,
    /// SYNs, and datagrams to the rule's port and to another.
    sent: [u64; 3],
    /// Of all three, and of SYNs.
    pps: [f64; 2],
}

/// Visitors, then a flood of SYNs and a little of two other kinds, then visitors again.
fn happen(stand: &Stand) -> Result<Story> {
    stand.floodwall.succeed("ban add 44.7.7.7 --ttl 1h --socket {socket}")?;
    wait_for("the feed", Duration::from_secs(10), || {
        Ok(stand.floodwall.scrape()?.sum("floodwall_feed_in_force", &[]) > 0.5)
    })?;
    thread::sleep(Duration::from_secs(3));
    let began = now();
    let small =
        |segment, port| -> Result<Order> { Ok(Order { port, ..flood_of(segment, Family::V4, 300)? }) };
    let others = [small(Segment::Udp(4444, 64), 7)?, small(Segment::Udp(4444, 64), 9)?];
    let client = &stand.pair.client;
    let others = Flood::start_all(client, &others)?;
    let flood = Flood::start(client, &Order { nice: 0, ..flood_of(Segment::Syn, Family::V4, SYNS)? })?;
    let visit = stand.visit(SERVER_V4.into(), 50, 100)?;
    println!("visitors beside the flood: {}", visit.summary());
    thread::sleep(FLOOD.saturating_sub(Duration::from_secs_f64(now() - began)));
    let peak = now() - 2.0;
    let mut all = vec![flood.stop()?];
    for other in others {
        all.push(other.stop()?);
    }
    let ended = now();
    stand.visit_well(20)?;
    thread::sleep(Duration::from_secs(4));
    let sent = [0, 1, 2].map(|kind: usize| all[kind].frames);
    let pps = [all.iter().map(Sent::pps).sum(), all[0].pps()];
    Ok(Story { began, peak, ended, sent, pps })
}

#[test]
fn a_real_prometheus_sees_a_real_flood() -> Result<()> {
    let folder = Folder::files()?;
    let (config, _log) = config(folder.path())?;
    let stand = Stand::new(&config)?;
    let namespace = &stand.pair.server.namespace;
    let prometheus = Prometheus::start(namespace, &alerts::rules(), "127.0.0.1:9980")?;
    let start = now();
    let story = happen(&stand)?;
    every_panel_has_data(&prometheus, &story)?;
    values_are_what_was_sent(&prometheus, &story)?;
    rules_are_evaluated(&prometheus, &story)?;
    scrapes_are_small(&stand, &prometheus)?;
    if env::var_os("FLOODWALL_DRAW").is_some() {
        draw(&prometheus, start - 1.0, story.ended)?;
    }
    Ok(())
}

/// Nothing of this host can show them.
const EMPTY: [&str; 2] = ["Next program", "Time per packet"];

fn every_panel_has_data(prometheus: &Prometheus, story: &Story) -> Result<()> {
    let mut asked = 0;
    for (name, model) in models()? {
        for (title, expr) in queries(&model) {
            let place = format!("{name}: {title}: {expr}");
            let whole = prometheus.query(&expr, story.peak).with_context(|| place.clone())?;
            ensure!(!whole.is_empty(), "no data: {place}");
            let finite = whole.iter().flat_map(|series| &series.points).all(|(_, value)| value.is_finite());
            ensure!(finite, "no number: {place}: {whole:?}");
            let nothing = EMPTY.contains(&title.as_str()) || title == "Interfaces not filtered";
            let real = prometheus.query(bare(&expr), story.peak)?;
            ensure!(nothing || !real.is_empty(), "no data but the filler: {place}");
            asked += 1;
        }
    }
    println!("{asked} queries of panels have data");
    ensure!(asked > 70, "{asked}");
    Ok(())
}

/// What a panel shows, summed over its series, at a moment.
fn shows(prometheus: &Prometheus, board: &str, panel: &str, time: f64) -> Result<Vec<Series>> {
    let models = models()?;
    let (_, model) = models.iter().find(|(name, _)| name == board).context("a dashboard")?;
    let queries = queries(model);
    let (_, expr) = queries.iter().find(|(title, _)| title == panel).with_context(|| panel.to_owned())?;
    prometheus.query(expr, time)
}

fn near(what: &str, found: f64, expected: f64, part: f64) -> Result<()> {
    println!("{what}: {found:.0}, sent {expected:.0}");
    ensure!((found - expected).abs() <= expected * part, "{what}: {found}, not {expected}");
    Ok(())
}

fn values_are_what_was_sent(prometheus: &Prometheus, story: &Story) -> Result<()> {
    let at = |board: &str, panel: &str| shows(prometheus, board, panel, story.peak);
    let overview = "floodwall-overview";
    let received = total(&at(overview, "Received")?);
    near("packets a second", received, story.pps[0], 0.25)?;
    let verdicts = at(overview, "Packets by verdict")?;
    near("packets by verdict", total(&verdicts), received, 0.01)?;
    let bits = total(&at(overview, "Bits by verdict")?);
    ensure!(
        bits > received * 54.0 * 8.0 && bits < received * 120.0 * 8.0,
        "{bits} bits of {received} packets"
    );
    near("SYNs by service, estimated", total(&at(overview, "SYNs by service")?), story.pps[1], 0.3)?;
    ensure!(total(&at(overview, "Mode")?) > 0.5 && total(&at(overview, "Attacks")?) > 0.5);
    ensure!(total(&at(overview, "Interfaces not filtered")?).abs() < 0.5);
    let rules = at("floodwall-attack", "Packets by rule")?;
    ensure!(rules[0].labels["rule"] == "echo" && rules[0].labels["verdict"] == "count", "{rules:?}");
    let bans = at("floodwall-bans", "Banned sources")?;
    ensure!(total(&bans) >= 1.0, "{bans:?}");
    let told = at("floodwall-attack", "Notifications in the last hour")?;
    ensure!(told[0].labels["target"] == "log" && told[0].labels["result"] == "sent", "{told:?}");
    let ranges = at("floodwall-bans", "Ranges in force")?;
    near("ranges of the feed", total(&ranges), 2.0, 0.0)?;
    // What the wire itself loses while others have the core is all that may be missing.
    let risen = |expr: &str| -> Result<f64> {
        let at = |time| prometheus.query(expr, time).map(|series| total(&series));
        Ok(at(now())? - at(story.began - 1.5)?)
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let [syns, matching, other] = story.sent.map(|frames| frames as f64);
    near("packets that met the rule", risen("sum(floodwall_rule_packets_total)")?, matching, 0.05)?;
    let counted = risen("sum(floodwall_packets_total)")?;
    let sent = syns + matching + other;
    ensure!(counted >= sent * 0.95 && counted < sent * 1.2 + 20_000.0, "{counted} counted of {sent}");
    println!("{counted:.0} packets counted, {sent:.0} sent by the floods alone");
    let answered = risen("sum(floodwall_syn_cookie_sent_total) + sum(floodwall_challenge_sent_total)")?;
    ensure!(answered > syns * 0.5 && answered < syns * 1.1, "{answered} answered of {syns}");
    let quiet = prometheus.query("max(floodwall_attack_active)", story.began - 1.5)?;
    ensure!(total(&quiet) < 0.5, "an attack before there was one");
    ensure!(story.ended > story.peak);
    Ok(())
}

fn rules_are_evaluated(prometheus: &Prometheus, story: &Story) -> Result<()> {
    let groups = prometheus.api("rules")?;
    let rules: Vec<_> = groups["groups"]
        .as_array()
        .context("groups")?
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten()
        .collect();
    ensure!(rules.len() == alerts::ALERTS.len(), "{} rules", rules.len());
    for rule in rules {
        ensure!(rule["health"] == "ok", "{rule}");
    }
    // None of them fires within seconds. Each evaluation makes a point: the attack's are many, and one of
    // notifications happens where a scrape meets one on its way out.
    let seen =
        prometheus.range("count by (alertname, alertstate) (ALERTS)", story.began - 2.0, now(), 1.0)?;
    let name = |series: &Series| (series.labels["alertname"].clone(), series.labels["alertstate"].clone());
    let mut names: Vec<_> = seen.iter().filter(|series| series.points.len() > 5).map(name).collect();
    names.sort_unstable();
    ensure!(names == [("FloodwallAttack".into(), "pending".into())], "{names:?}, {seen:?}");
    ensure!(seen.iter().all(|series| name(series).1 == "pending"), "{seen:?}");
    Ok(())
}

fn scrapes_are_small(stand: &Stand, prometheus: &Prometheus) -> Result<()> {
    let worst = |expr: &str| prometheus.query(expr, now()).map(|series| total(&series));
    let series = worst("max_over_time(scrape_samples_scraped[1m])")?;
    let fewest = worst("min_over_time((scrape_samples_scraped > 0)[1m:1s])")?;
    let seconds = worst("max_over_time(scrape_duration_seconds[1m])")?;
    let own = worst("max_over_time(floodwall_scrape_duration_seconds[1m])")?;
    let bytes = stand.floodwall.get("/metrics")?.len();
    println!(
        "a scrape: {series} series, {bytes} bytes, {seconds:.3} s at most, {own:.3} s of it in the tables"
    );
    ensure!((series - fewest).abs() < 0.5, "{fewest} to {series} series: the flood made some");
    ensure!(series < 2000.0 && bytes < 400_000 && seconds < 1.0, "{series} {bytes} {seconds}");
    ensure!(stand.floodwall.get("/readyz")? == "ready\n" && stand.floodwall.get("/healthz")? == "ok\n");
    Ok(())
}

/// Into docs/dashboards, until the flood ended.
fn draw(prometheus: &Prometheus, from: f64, to: f64) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dashboards");
    fs::create_dir_all(&folder)?;
    for (name, model) in models()? {
        let ask = |expr: &str| prometheus.range(&filled_in(expr), from, to, 0.5);
        fs::write(folder.join(format!("{name}.svg")), drawing::dashboard(&model, (from, to), ask)?)?;
    }
    Ok(())
}
