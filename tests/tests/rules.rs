//! Rules and observed services in a live network.

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::{
    config::Config,
    flood::{Flood, Order, Source},
    pair::{SERVER_V4, Wire},
    sched::Cores,
    server::Kind,
    snmp,
    stand::{PACKETS, Stand, wait_for},
};
use filter_user::dataplane::kfunc_available;
use nix::sys::signal::Signal;

/// The attacker's only address.
const GREEDY: Source = Source::One(std::net::IpAddr::V4(std::net::Ipv4Addr::new(45, 1, 2, 3)));

fn with(rules: &[(&str, &str)]) -> Config {
    let text = rules.iter().fold(String::new(), |mut text, (name, lines)| {
        let _ = write!(text, "[[rule]]\nname = \"{name}\"\n{lines}\n");
        text
    });
    Config::default().service("ports = [\"tcp/80\"]").also(&text)
}

fn order(source: Source, pps: u64, seconds: u64) -> Result<Order> {
    Ok(Order { pps, frames: pps * seconds, ..Order::syns(source, Cores::pick()?.attacker) })
}

/// One source at ten times its rule's rate, and many together at ten times theirs; others lose nothing. The bursts are two seconds: a bucket
/// fills while a busy machine keeps the flood from sending, and one that is full would lose what the rate counts.
#[test]
fn a_rate_is_what_it_says() -> Result<()> {
    const SECONDS: u64 = 8;
    for (per, source, rate, burst) in [("source", GREEDY, 200, 400), ("rule", Source::AnyV4, 1000, 2000)] {
        let limit = format!(
            "src = \"32.0.0.0/3\"\nproto = \"tcp\"\nflags = \"syn,!ack\"\naction = \"limit\"\n\
             rate = \"{rate}/s burst {burst}\"\nper = \"{per}\""
        );
        let stand = Stand::with(&with(&[("slow", &limit)]), Wire::Cable, Kind::Tcp)?;
        let before = stand.floodwall.scrape()?;
        let flood = Flood::start(&stand.pair.client, &order(source, rate * 10, SECONDS)?)?;
        let tried = stand.visit(SERVER_V4.into(), 50, 50 * SECONDS)?;
        ensure!(tried.failed() == 0, "the others lose nothing: {}", tried.summary());
        let sent = flood.wait()?;
        let seen = || -> Result<(f64, f64)> {
            let scrape = stand.floodwall.scrape()?;
            let of = |verdict| scrape.sum("floodwall_rule_packets_total", &["rule=\"slow\"", verdict]);
            Ok((of("verdict=\"pass\""), of("verdict=\"drop\"")))
        };
        #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
        let (frames, most) = (sent.frames as f64, rate as f64 * sent.time.as_secs_f64() + burst as f64);
        wait_for("all are counted", Duration::from_secs(2), || {
            let (passed, dropped) = seen()?;
            Ok((passed + dropped - frames).abs() < 0.5)
        })?;
        let (passed, dropped) = seen()?;
        let share = passed / most;
        println!("per {per}: {passed} of {frames} in {:?}: {share:.3} of the rate", sent.time);
        ensure!((0.95..=1.05).contains(&share), "per {per}: {share:.3} of the rate");
        #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
        let by_reason = stand.risen(&before, "rule_limit")? as f64;
        ensure!((by_reason - dropped).abs() < 0.5, "{by_reason} by reason, {dropped} by rule");
    }
    Ok(())
}

/// What would be challenged and limited reaches the stack, and is counted.
#[test]
fn an_observed_service_only_counts() -> Result<()> {
    const VISITS: u64 = 50;
    let service = "ports = [\"tcp/80\"]\nobserve = true\nsyn = { mode = \"challenge\" }\n\
                   rate = { per_source_syn = \"1/s burst 10\" }";
    let stand = Stand::new(&Config::default().service(service))?;
    let before = (stand.floodwall.scrape()?, snmp::read(&stand.pair.server.namespace)?);
    stand.visit_well(VISITS)?;
    let opened = snmp::risen(&before.1, &snmp::read(&stand.pair.server.namespace)?);
    ensure!(opened.get("TcpPassiveOpens") == Some(&(2 * VISITS)), "{opened:?}");
    let after = stand.floodwall.scrape()?;
    let of = |verdict: &str, reason: &str| after.sum(PACKETS, &[verdict, reason]);
    let would_challenge = of("verdict=\"would_reply\"", "reason=\"challenge_sent\"");
    let would_drop = of("verdict=\"would_drop\"", "reason=\"source_syn_rate\"");
    #[expect(clippy::cast_precision_loss, reason = "a hundred")]
    let syns = 2.0 * VISITS as f64;
    ensure!(would_drop > 20.0 && would_challenge >= 20.0, "{would_drop} dropped, {would_challenge} answered");
    ensure!(would_drop + would_challenge >= syns, "{would_drop} dropped, {would_challenge} answered");
    ensure!(of("verdict=\"reply\"", "") + of("verdict=\"drop\"", "") < 0.5, "nothing was carried out");
    Ok(())
}

/// Connections come about by cookies on one address and by themselves on another, also where tc decodes.
#[test]
fn a_service_by_destination_gets_its_cookies() -> Result<()> {
    const VISITS: u64 = 20;
    for handover in ["auto", "decode"] {
        let mut config = Config::default().interface(&format!("handover = \"{handover}\""));
        let cookies = "dst = \"192.31.196.2\"\nports = [\"tcp/80\"]\nsyn = { mode = \"cookie\" }";
        config.services =
            vec![("cookies".into(), cookies.into()), ("rest".into(), "ports = [\"tcp/80\"]".into())];
        let stand = Stand::new(&config)?;
        let before = stand.floodwall.scrape()?;
        stand.visit_well(VISITS)?;
        let sent = stand.risen(&before, "cookie_sent")? + stand.risen(&before, "challenge_sent")?;
        ensure!(sent == if kfunc_available() { VISITS } else { 1 }, "{handover}: {sent} SYNs were answered");
    }
    Ok(())
}

/// Every packet is judged by one set of rules or the other, whole; nobody else loses a connection.
#[test]
fn rules_are_swapped_whole() -> Result<()> {
    let one = with(&[
        ("first", "src = \"45.1.0.0/16\"\nproto = \"tcp\"\ndport = \"80\"\naction = \"drop\""),
        ("trial", "action = \"drop\"\nobserve = true"),
    ]);
    let mut many: Vec<(String, String)> = (0..40)
        .map(|n| (format!("n{n}"), format!("src = \"46.{n}.0.0/16\"\nproto = \"udp\"\naction = \"drop\"")))
        .collect();
    many.push((
        "last".into(),
        "src = \"45.1.2.3\"\ndst = \"192.31.196.0/24\"\nlength = \"1-99\"\naction = \"drop\"".into(),
    ));
    let other = with(&many.iter().map(|(name, lines)| (name.as_str(), lines.as_str())).collect::<Vec<_>>());
    let stand = Stand::with(&one, Wire::Cable, Kind::Tcp)?;
    let before = stand.floodwall.scrape()?;
    let dropped_before = stand.floodwall.packets(Reason::RuleDrop)?;
    let flood = Flood::start(&stand.pair.client, &Order { nice: 10, ..order(GREEDY, 20_000, 8)? })?;
    let tried = thread::scope(|scope| -> Result<_> {
        let visit = scope.spawn(|| stand.visit(SERVER_V4.into(), 100, 700));
        for (config, rule) in [(&other, "last"), (&one, "first"), (&other, "last")] {
            thread::sleep(Duration::from_secs(1));
            stand.floodwall.configure(config)?;
            stand.floodwall.signal(Signal::SIGHUP)?;
            let label = format!("rule=\"{rule}\"");
            wait_for("the new rules count", Duration::from_secs(10), || {
                let scrape = stand.floodwall.scrape()?;
                Ok(scrape.sum("floodwall_rule_packets_total", &[&label]) > 1000.0)
            })?;
        }
        visit.join().expect("the client does not panic")
    })?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    let sent = flood.wait()?.frames;
    let dropped = || anyhow::Ok(stand.floodwall.packets(Reason::RuleDrop)? - dropped_before);
    wait_for("every packet of the flood is dropped by a rule", Duration::from_secs(2), || {
        Ok(dropped()? >= sent)
    })?;
    ensure!(dropped()? == sent, "{} dropped of {sent}", dropped()?);
    let passed = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    println!("{sent} dropped over three reloads; {passed:?}");
    Ok(())
}
