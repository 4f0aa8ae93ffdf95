//! Every TCP flood against a service that arms itself, with all kinds of honest traffic beside it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use filter_common::reason::{Action, Reason};
use filter_tests::{
    bulk,
    config::Config,
    defence::unprotected,
    flood::{Flood, Order, Segment, flood_of},
    latency::Tried,
    pair::{CLIENT_V4, Family, Pair, SERVER_V4, SERVER_V6, Wire},
    sched::Cores,
    server::{Kind, listen},
    snmp,
    stand::{PACKETS, Stand, wait_for},
};
use socket2::Socket;

const PATIENCE: Duration = Duration::from_secs(10);

/// Ports 80 (visitors), 81 (a download) and 82 (a session) of one service that arms itself.
fn config() -> Config {
    Config {
        rest: "[stray]\non = 1000\noff = 200\nhold = \"5s\"".into(),
        ..Config::default().service(
            "ports = [\"tcp/80-82\"]\nsyn = { mode = \"auto\", on = 2000, off = 500, hold = \"5s\" }",
        )
    }
}

/// A connection on which nothing happens: a login that waits for its user.
struct Session {
    client: TcpStream,
    server: TcpStream,
}

impl Session {
    fn open(from: &Pair, listener: &Socket, outwards: bool) -> Result<Self> {
        let (end, address) = if outwards {
            (&from.server, SocketAddr::from((CLIENT_V4, 90)))
        } else {
            (&from.client, (SERVER_V4, 82).into())
        };
        let client =
            end.namespace.run(|| TcpStream::connect_timeout(&address, PATIENCE)).context("connect")?;
        let server = TcpStream::from(listener.accept().context("accept")?.0);
        client.set_read_timeout(Some(PATIENCE))?;
        server.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { client, server })
    }

    /// A line each way.
    fn talk(&mut self) -> Result<()> {
        let mut line = [0; 6];
        self.client.write_all(b"ls -l\n")?;
        self.server.read_exact(&mut line).context("the session is dead")?;
        self.server.write_all(b"total\n")?;
        self.client.read_exact(&mut line).context("the session is dead")
    }
}

fn of(kind: Segment, pps: u64) -> Result<Order> {
    flood_of(kind, Family::V4, pps)
}

/// What honest traffic met under a flood of these kinds; everything but the visitors must be whole.
fn honest(stand: &Stand, orders: &[Order]) -> Result<Tried> {
    let pair = &stand.pair;
    let sessions = listen(&pair.server.namespace, 82, Kind::Tcp)?;
    let outside = listen(&pair.client.namespace, 90, Kind::Tcp)?;
    // A service in use: some of its segments are looked up, and show that it has sockets.
    stand.visit_well(200)?;
    let mut idle = Session::open(pair, &sessions, false)?;
    let floods = Flood::start_all(&pair.client, orders)?;
    thread::sleep(Duration::from_millis(500));
    let served = bulk::serve(listen(&pair.server.namespace, 81, Kind::Tcp)?);
    let tried = thread::scope(|scope| -> Result<Tried> {
        let download = scope.spawn(|| pair.client.namespace.run(|| bulk::exchange((SERVER_V4, 81).into())));
        let tried = stand.visit(SERVER_V4.into(), 100, 300)?;
        download.join().expect("the client does not panic").context("100 MB each way")?;
        Ok(tried)
    })?;
    served.join().expect("the server does not panic")?;
    let mut outwards = Session::open(pair, &outside, true).context("a connection of the host's own")?;
    outwards.talk()?;
    idle.talk().context("an idle session")?;
    drop(floods);
    Ok(tried)
}

/// One flood: honest traffic loses nothing, and at least nine in ten of the flood's packets end for that reason.
fn defended(kind: Segment, reason: Reason) -> Result<()> {
    let stand = Stand::with(&config(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    let (before, stack) = (stand.floodwall.scrape()?, snmp::read(&stand.pair.server.namespace)?);
    let tried = honest(&stand, &[of(kind, 100_000)?])?;
    ensure!(tried.failed() == 0, "{kind:?}: {}", tried.summary());
    let packets = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    let of = |reason: Reason| packets.get(reason.label()).copied().unwrap_or(0);
    let ended: u64 = Reason::ALL.iter().filter(|r| r.action() != Action::Pass).map(|r| of(*r)).sum();
    ensure!(of(reason) > 100_000 && of(reason) * 10 >= ended * 9, "{kind:?}: {packets:?}");
    let stack = snmp::risen(&stack, &snmp::read(&stand.pair.server.namespace)?);
    let resets = stack.get("TcpOutRsts").copied().unwrap_or(0);
    ensure!(resets < 10_000, "{kind:?}: the stack answered {resets} strays");
    Ok(())
}

#[test]
fn a_syn_flood() -> Result<()> {
    defended(Segment::Syn, Reason::CookieSent)
}

#[test]
fn an_ack_flood() -> Result<()> {
    defended(Segment::Ack, Reason::StrayAck)
}

#[test]
fn a_flood_of_data() -> Result<()> {
    defended(Segment::Data, Reason::StrayData)
}

#[test]
fn a_fin_flood() -> Result<()> {
    defended(Segment::Fin, Reason::StrayFin)
}

#[test]
fn a_rst_flood() -> Result<()> {
    defended(Segment::Rst, Reason::StrayRst)
}

#[test]
fn a_syn_ack_flood() -> Result<()> {
    defended(Segment::SynAck, Reason::StraySynAck)
}

#[test]
fn all_of_them_at_once() -> Result<()> {
    let stand = Stand::with(&config(), Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    let before = stand.floodwall.scrape()?;
    let orders = Segment::ALL.iter().map(|kind| of(*kind, 10_000)).collect::<Result<Vec<_>>>()?;
    let tried = honest(&stand, &orders)?;
    ensure!(tried.failed() == 0, "{}", tried.summary());
    let packets = stand.floodwall.scrape()?.risen(&before, PACKETS, "reason");
    // While its SYNs are answered, an ACK to the service needs a cookie: it ends as an invalid one.
    for reason in [Reason::CookieSent, Reason::CookieInvalid, Reason::StrayRst, Reason::StraySynAck] {
        ensure!(packets.get(reason.label()).is_some_and(|n| *n > 1000), "{reason:?}: {packets:?}");
    }
    Ok(())
}

/// The same visitors and SYNs without Floodwall, and without the stack's own cookies: most lose.
#[test]
fn a_syn_flood_without_floodwall() -> Result<()> {
    let stand = unprotected(&config())?;
    stand.pair.server.namespace.sysctl(&[("net.ipv4.tcp_syncookies", "0")])?;
    let _flood = Flood::start(&stand.pair.client, &of(Segment::Syn, 100_000)?)?;
    thread::sleep(Duration::from_millis(500));
    let tried = stand.visit(SERVER_V4.into(), 50, 100)?;
    ensure!(tried.failed() > 50, "the bed floods nobody: {}", tried.summary());
    Ok(())
}

/// Without Floodwall each stray costs the stack an answer; a RST costs it a look-up.
#[test]
fn floods_of_strays_without_floodwall() -> Result<()> {
    let stand = unprotected(&config())?;
    for kind in [Segment::Ack, Segment::Data, Segment::Fin, Segment::SynAck] {
        let stack = snmp::read(&stand.pair.server.namespace)?;
        let order = Order { frames: 50_000, ..of(kind, 50_000)? };
        Flood::start(&stand.pair.client, &order)?.wait()?;
        let resets = || -> Result<u64> {
            let risen = snmp::risen(&stack, &snmp::read(&stand.pair.server.namespace)?);
            Ok(risen.get("TcpOutRsts").copied().unwrap_or(0))
        };
        wait_for("the stack resets strays", Duration::from_secs(5), || Ok(resets()? > 25_000))?;
    }
    Ok(())
}

/// Armed within the budget's burst, disarmed after the hold time, and in between nothing flaps.
#[test]
fn auto_arms_and_disarms() -> Result<()> {
    let stand = Stand::with(
        &Config::default()
            .service("ports = [\"tcp/80\"]\nsyn = { mode = \"auto\", on = 2000, off = 500, hold = \"2s\" }"),
        Wire::Cable,
        Kind::Tcp,
    )?;
    stand.pair.pin(Cores::pick()?)?;
    let armed = || -> Result<bool> {
        Ok(stand.floodwall.scrape()?.sum("floodwall_syn_armed", &["service=\"web\""]) > 0.5)
    };
    let count = || -> Result<f64> {
        Ok(stand.floodwall.scrape()?.sum("floodwall_syn_armings_total", &["service=\"web\""]))
    };
    stand.visit_well(50)?;
    ensure!(!armed()? && stand.floodwall.packets(Reason::CookieSent)? == 0, "calm: the stack's");
    let order = Order { frames: 20_000, ..of(Segment::Syn, 50_000)? };
    Flood::start(&stand.pair.client, &order)?.wait()?;
    wait_for("all are counted", Duration::from_secs(2), || {
        let scrape = stand.floodwall.scrape()?;
        Ok(scrape.sum(PACKETS, &["reason=\"pass\""]) + scrape.sum(PACKETS, &["reason=\"cookie_sent\""])
            > 20_000.0)
    })?;
    let sent = stand.floodwall.packets(Reason::CookieSent)?;
    // A burst of 200 and what 2000/s give meanwhile (0.4 s) is the most that the stack may get.
    ensure!(armed()? && (19_000..20_000).contains(&sent), "{sent} of 20000 answered");
    stand.visit_well(50)?;
    let disarmed = Instant::now();
    wait_for("it disarms", Duration::from_secs(10), || Ok(!armed()?))?;
    eprintln!("disarmed {:?} after the flood and some visits", disarmed.elapsed());
    ensure!((count()? - 1.0).abs() < 0.1, "armed once");
    let between = Order { frames: 4000, ..of(Segment::Syn, 1000)? };
    Flood::start(&stand.pair.client, &between)?.wait()?;
    ensure!((count()? - 1.0).abs() < 0.1, "between the thresholds nothing flaps");
    stand.visit_well(50)
}

/// Connect times through a challenge, both families; each source only once.
#[test]
fn a_challenge_is_hardly_noticed() -> Result<()> {
    let config = Config::default().service("ports = [\"tcp/80\"]\nsyn = { mode = \"challenge\" }");
    for server in [std::net::IpAddr::from(SERVER_V4), SERVER_V6.into()] {
        let stand = Stand::new(&config)?;
        let first = stand.visit(server, 1, 1)?;
        let then = stand.visit(server, 100, 100)?;
        ensure!(first.failed() + then.failed() == 0, "{server}: {} {}", first.summary(), then.summary());
        eprintln!(
            "{server}: first connect {:.1} ms, then p50 {:.3} ms",
            first.percentile_ms(50),
            then.percentile_ms(50)
        );
        ensure!(first.percentile_ms(50) < 100.0, "Linux retries at once");
        ensure!(stand.floodwall.packets(Reason::ChallengeSent)? == 1, "once for the source");
        ensure!(stand.floodwall.packets(Reason::Proven)? == 101);
    }
    Ok(())
}

/// A service without a SYN defence whose stack answers with its own SYN cookies: they are no strays.
#[test]
fn the_stacks_own_cookies_are_known() -> Result<()> {
    let config = Config {
        rest: "[stray]\non = 1000\noff = 200\nhold = \"5s\"".into(),
        ..Config::default().service("ports = [\"tcp/80\"]").cookie("unknown_ack = \"off\"")
    };
    let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    stand.pair.server.namespace.sysctl(&[("net.ipv4.tcp_syncookies", "2")])?;
    // Among these segments are some that are looked up, and show that the service has sockets.
    stand.visit_well(200)?;
    let _flood = Flood::start(&stand.pair.client, &of(Segment::Ack, 50_000)?)?;
    let dropped = || Ok(stand.floodwall.packets(Reason::StrayAck)? > 1000);
    wait_for("strays are dropped", Duration::from_secs(5), dropped)?;
    stand.visit_well(100)?;
    let known = stand.floodwall.packets(Reason::StackCookie)?;
    ensure!(known >= 200, "{known} cookies of the stack");
    Ok(())
}

/// Forged sources prove nothing: whoever is proven stays so, and the table does not grow.
#[test]
fn forged_sources_evict_nobody() -> Result<()> {
    let config = Config {
        rest: "[limits]\nproven = 1024".into(),
        ..Config::default().service("ports = [\"tcp/80\"]\nsyn = { mode = \"challenge\" }")
    };
    let stand = Stand::with(&config, Wire::Cable, Kind::Tcp)?;
    stand.pair.pin(Cores::pick()?)?;
    stand.visit_well(1)?;
    // All of it at once takes minutes: FLOODWALL_FORGED=20000000 is ten million sources, two packets each.
    let frames = std::env::var("FLOODWALL_FORGED").map_or(Ok(300_000), |text| text.parse())?;
    for kind in Segment::ALL {
        let order = Order { frames, ..of(kind, 0)? };
        Flood::start(&stand.pair.client, &order)?.wait()?;
    }
    let sent = stand.floodwall.packets(Reason::ChallengeSent)?;
    stand.visit_well(20)?;
    ensure!(stand.floodwall.packets(Reason::ChallengeSent)? == sent, "still proven");
    let entries = stand.floodwall.scrape()?.sum("floodwall_map_entries", &["map=\"proven\""]);
    ensure!((entries - 2.0).abs() < 0.1, "{entries} proven");
    Ok(())
}
