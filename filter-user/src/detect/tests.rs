//! Hours of traffic in seconds: the detector's clock is the test's.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates of a simulation: positive, and far below 2^53"
)]

use std::net::{IpAddr, Ipv4Addr};

use filter_common::reason::{REASONS, Reason};

use super::{load::Seen, *};

const SECOND: u64 = 1_000_000_000;
const SAMPLE: u32 = 16;
const KNOBS: Knobs = Knobs { bounds: Bounds { floor: 1000.0, factor: 2.0 }, hold: Duration::from_secs(30) };

const WEB: u8 = 1;
const DNS: u8 = 2;

/// Packets of one kind during one turn.
struct Flow {
    service: u8,
    vector: Vector,
    reason: Reason,
    pps: f64,
    /// So many sources share them.
    sources: u32,
}

struct Sim {
    detector: Detector,
    now: u64,
    random: fastrand::Rng,
    changes: Vec<(u64, Change)>,
}

impl Sim {
    fn new() -> Self {
        let mut detector = Detector::new(KNOBS);
        detector.set_services(vec![ServiceFacts { sockets: true, checked: true }; 3]);
        Self { detector, now: SECOND, random: fastrand::Rng::with_seed(7), changes: Vec::new() }
    }

    /// How many samples are drawn where so many are to be expected.
    fn drawn(&mut self, expected: f64) -> u32 {
        if expected > 200.0 {
            let gauss: f64 = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
            return (expected + gauss * expected.sqrt()).max(0.0) as u32;
        }
        let (mut product, mut count) = (self.random.f64(), 0);
        while product > (-expected).exp() {
            product *= self.random.f64();
            count += 1;
        }
        count
    }

    fn turn(&mut self, flows: &[Flow], handshakes: f64) {
        let seconds = TURN.as_secs_f64();
        self.now += TURN.as_nanos() as u64;
        let (mut seen, mut counted) = (Vec::new(), [0; REASONS]);
        for flow in flows {
            let packets = flow.pps * seconds;
            counted[flow.reason as usize] += packets as u64;
            for _ in 0..self.drawn(packets / f64::from(SAMPLE)) {
                let source = (self.random.f64() * f64::from(flow.sources)) as u32;
                seen.push(Seen {
                    service: flow.service,
                    vector: flow.vector,
                    reason: flow.reason,
                    source: Some(IpAddr::V4(Ipv4Addr::from_bits(0x2c00_0000 + source))),
                    weight: SAMPLE,
                    length: 100,
                });
            }
        }
        let completed = Some((handshakes * seconds) as u64);
        let tick = Tick { now: self.now, seen: &seen, counted: Some(&counted), completed };
        let changes = self.detector.tick(&tick);
        self.changes.extend(changes.into_iter().map(|change| (self.now, change)));
    }

    /// So many seconds of what `flows` says about each (their number since the start).
    fn run(&mut self, seconds: f64, mut flows: impl FnMut(f64) -> (Vec<Flow>, f64)) {
        let began = self.now;
        while ((self.now - began) as f64) < seconds * 1e9 {
            let (flows, handshakes) = flows((self.now - began) as f64 / 1e9);
            self.turn(&flows, handshakes);
        }
    }

    fn began(&self) -> Option<u64> {
        self.changes.iter().find(|(_, c)| matches!(c, Change::Began(_))).map(|(at, _)| *at)
    }
}

fn flow(service: u8, vector: Vector, reason: Reason, pps: f64) -> Flow {
    Flow { service, vector, reason, pps, sources: 5000 }
}

/// Visitors that open so many connections a second, with so many segments in each; nothing is armed, so one segment in 64 is
/// looked up.
fn visitors(connections: f64, segments: f64) -> Vec<Flow> {
    let looked_up = connections * segments / 64.0;
    vec![
        flow(WEB, Vector::Syn, Reason::Pass, connections),
        flow(WEB, Vector::Ack, Reason::Pass, connections * segments - looked_up),
        flow(WEB, Vector::Ack, Reason::Established, looked_up),
        flow(WEB, Vector::RstFin, Reason::Pass, connections),
    ]
}

/// What else a host sees: queries, pings, scans, nonsense.
fn background(queries: f64) -> Vec<Flow> {
    vec![
        flow(DNS, Vector::Udp, Reason::Pass, queries),
        flow(DNS, Vector::Udp, Reason::UdpReply, 500.0),
        flow(0, Vector::Syn, Reason::NoListener, 40.0),
        flow(0, Vector::Icmp, Reason::Pass, 30.0),
        flow(0, Vector::Other, Reason::Bogon, 20.0),
        flow(WEB, Vector::RstFin, Reason::Stray, 0.3),
    ]
}

fn usual() -> (Vec<Flow>, f64) {
    let mut flows = visitors(1000.0, 9.0);
    flows.extend(background(3000.0));
    (flows, 1000.0)
}

/// Floods of each vector, as the data path tells of them, and the load that is usual beside them.
fn floods() -> Vec<(Flow, f64)> {
    let armed = |vector, reason, load| (flow(WEB, vector, reason, 0.0), load);
    vec![
        armed(Vector::Syn, Reason::Pass, 1000.0),
        armed(Vector::Syn, Reason::CookieSent, 1000.0),
        armed(Vector::SynAck, Reason::StraySynAck, 2000.0),
        armed(Vector::Ack, Reason::StrayAck, 9000.0),
        armed(Vector::RstFin, Reason::StrayRst, 2000.0),
        (flow(DNS, Vector::Udp, Reason::Pass, 0.0), 3000.0),
        (flow(0, Vector::ReflectionNtp, Reason::UdpReflection, 0.0), 2000.0),
        (flow(0, Vector::Icmp, Reason::IcmpRate, 0.0), 2000.0),
        (flow(0, Vector::Fragment, Reason::FragmentRate, 0.0), 2000.0),
        (flow(0, Vector::Other, Reason::Bogon, 0.0), 2000.0),
    ]
}

/// A host that has these loads of everything.
fn with_all_vectors() -> (Vec<Flow>, f64) {
    let (mut flows, handshakes) = usual();
    flows.push(flow(0, Vector::Icmp, Reason::Pass, 2000.0));
    flows.push(flow(0, Vector::Fragment, Reason::Fragment, 2000.0));
    flows.push(flow(0, Vector::Other, Reason::OtherProtocol, 2000.0));
    (flows, handshakes)
}

#[test]
fn floods_of_each_vector_are_found_within_two_seconds() {
    for (kind, load) in floods() {
        for times in [2.0, 5.0, 50.0] {
            let mut sim = Sim::new();
            sim.run(300.0, |_| with_all_vectors());
            assert_eq!(sim.changes, [], "{:?}: nothing before", kind.vector);
            let start = sim.now;
            sim.run(10.0, |_| {
                let (mut flows, handshakes) = with_all_vectors();
                flows.push(Flow { pps: load * times, sources: u32::MAX / 8, ..kind });
                (flows, handshakes)
            });
            let found = sim.began().map(|at| (at - start) as f64 / 1e9);
            assert!(found.is_some_and(|s| s < 2.0), "{:?} x {times}: {found:?}", kind.vector);
            let attack = sim.detector.attacks().next().expect("an attack");
            assert_eq!(attack.service, usize::from(kind.service));
            assert_eq!(attack.hits[0].vector, kind.vector);
            let flood = load * times;
            assert!(attack.peak_pps > flood * 0.6 && attack.peak_pps < flood * 2.2, "{attack:?}");
            sim.run(40.0, |_| with_all_vectors());
            assert!(sim.changes.iter().any(|(_, change)| matches!(change, Change::Ended(_))));
            assert_eq!(sim.detector.active_mut().len(), 0);
        }
    }
}

/// An hour with a morning, crowds that come at once, backups, deploys, busy scanners.
#[test]
fn an_hour_of_honest_bursts_is_no_attack() {
    let mut sim = Sim::new();
    sim.run(3600.0, |at| {
        // The day's growth, in an hour.
        let grown = 1.0 + at / 3600.0;
        let mut connections = 800.0 * grown;
        // A link on a large site every ten minutes: ten times the visitors within a second.
        if (300.0..360.0).contains(&(at % 600.0)) {
            connections *= 10.0;
        }
        let mut flows = visitors(connections, 9.0);
        // A backup every quarter of an hour: 40,000 segments a second of one connection.
        if (100.0..400.0).contains(&(at % 900.0)) {
            flows.push(flow(WEB, Vector::Ack, Reason::Pass, 40_000.0 * 63.0 / 64.0));
            flows.push(flow(WEB, Vector::Ack, Reason::Established, 40_000.0 / 64.0));
        }
        // A deploy: all clients' connections end, their last segments find no socket.
        if (1200.0..1202.0).contains(&at) {
            flows.push(flow(WEB, Vector::RstFin, Reason::Stray, 800.0 / 64.0));
        }
        // Queries come in bursts, too.
        let queries = 2500.0 * grown * if at % 97.0 < 6.0 { 1.7 } else { 1.0 };
        flows.extend(background(queries));
        // A scanner now and then.
        if (700.0..760.0).contains(&(at % 1000.0)) {
            flows.push(flow(0, Vector::Syn, Reason::NoListener, 600.0));
        }
        (flows, connections)
    });
    assert_eq!(sim.changes, []);
}

#[test]
fn a_crowd_does_not_hide_a_flood() {
    let mut sim = Sim::new();
    sim.run(120.0, |_| usual());
    sim.run(60.0, |_| (visitors(10_000.0, 9.0), 10_000.0));
    assert_eq!(sim.changes, [], "a crowd alone");
    let start = sim.now;
    sim.run(5.0, |_| {
        let mut flows = visitors(10_000.0, 9.0);
        flows.push(flow(WEB, Vector::Syn, Reason::Pass, 10_000.0));
        (flows, 10_000.0)
    });
    assert!(sim.began().is_some_and(|at| at - start < 2 * SECOND), "{:?}", sim.changes);
}

#[test]
fn nothing_is_learned_from_an_attack() {
    let mut sim = Sim::new();
    sim.run(600.0, |_| usual());
    let before = sim.detector.usual(DNS.into(), Vector::Udp);
    assert!((before - 3000.0).abs() < 300.0, "{before}");
    let flood = |pps: f64| {
        move |_: f64| {
            let (mut flows, handshakes) = usual();
            flows.push(flow(DNS, Vector::Udp, Reason::Pass, pps));
            (flows, handshakes)
        }
    };
    sim.run(3600.0, flood(30_000.0));
    assert!((sim.detector.usual(DNS.into(), Vector::Udp) - before).abs() < 100.0);
    assert_eq!(sim.changes.len(), 1, "it goes on: {:?}", sim.changes);
    // A slow rise neither.
    let mut sim = Sim::new();
    sim.run(600.0, |_| usual());
    sim.run(3600.0, |at| flood(3000.0 * at / 300.0)(at));
    assert!(sim.began().is_some());
    assert!(sim.detector.usual(DNS.into(), Vector::Udp) < before * 1.5);
}

/// Handshakes that nobody completes have no usual amount, however slowly they become more.
/// Below twenty times the floor a detector that knows nothing learns whatever comes first.
#[test]
fn a_restart_in_the_middle_of_an_attack_does_not_learn_it() {
    let mut before = Sim::new();
    before.run(900.0, |_| usual());
    for recalls in [true, false] {
        let mut after = Sim::new();
        if recalls {
            for (service, vector, baseline) in before.detector.learned() {
                after.detector.recall(service, vector, baseline.aged(600.0));
            }
        }
        after.run(60.0, |_| {
            let (mut flows, handshakes) = usual();
            flows.push(flow(DNS, Vector::Udp, Reason::Pass, 12_000.0));
            (flows, handshakes)
        });
        assert_eq!(after.began().is_some(), recalls);
    }
}

#[test]
fn a_creeping_syn_flood_is_found_at_the_floor() {
    let mut sim = Sim::new();
    sim.run(7200.0, |at| {
        let (mut flows, handshakes) = usual();
        flows.push(flow(WEB, Vector::Syn, Reason::Pass, at));
        (flows, handshakes)
    });
    let found = sim.began().map(|at| at / SECOND).expect("found");
    assert!((700..3500).contains(&found), "at {found}/s");
}

#[test]
fn vectors_join_and_sources_are_told() {
    let mut sim = Sim::new();
    sim.run(60.0, |_| usual());
    let mut flood = |with_acks: bool| {
        sim.run(6.0, |_| {
            let (mut flows, handshakes) = usual();
            flows.push(Flow { sources: 1, ..flow(WEB, Vector::Syn, Reason::CookieSent, 50_000.0) });
            if with_acks {
                flows.push(flow(WEB, Vector::Ack, Reason::StrayAck, 50_000.0));
            }
            (flows, handshakes)
        });
    };
    flood(false);
    flood(true);
    assert!(sim.changes.iter().any(|(_, change)| *change == Change::Joined(1, Vector::Ack)));
    let attack = sim.detector.attack(1).expect("it goes on");
    let first = attack.sources.heaviest(1)[0];
    assert_eq!(first.key, IpAddr::V4(Ipv4Addr::new(44, 0, 0, 0)));
    assert!(attack.prefixes.heaviest(1)[0].count >= first.count);
    assert_eq!(sim.detector.found(1)[Vector::Syn as usize], (1, true));
    // Other numbers, other services.
    assert_eq!(sim.detector.forget(), [Change::Ended(1)]);
    assert!(sim.detector.attack(1).is_some_and(|attack| attack.ended.is_some()));
}

/// Forwarded services have no sockets here: two segments have to follow a SYN.
#[test]
fn forwarded_services_have_segments_for_evidence() {
    let mut sim = Sim::new();
    sim.detector.set_services(vec![ServiceFacts::default(); 3]);
    let web = |connections: f64| (visitors(connections, 9.0), 0.0);
    sim.run(120.0, |_| web(1000.0));
    assert_eq!(sim.changes, []);
    sim.run(3.0, |_| {
        let (mut flows, handshakes) = web(1000.0);
        flows.push(flow(WEB, Vector::Syn, Reason::ChallengeSent, 20_000.0));
        (flows, handshakes)
    });
    assert!(sim.began().is_some());
}
