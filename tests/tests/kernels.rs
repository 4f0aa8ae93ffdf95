//! What holds on every kernel that a release runs on; `cargo xtask test --kernel` boots the older ones.

use anyhow::{Context as _, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{SchedClassifier, Xdp},
    util::KernelVersion,
};
use filter_common::{
    abi::{VERSION, name},
    config::{Config as Global, Limit, Prefix, TABLES, flags},
    reason::Reason,
    rules::Rules,
    wire::Policy,
};
use filter_tests::{
    config::Config,
    filter::Filter,
    packet::ip,
    pair::{Pair, Wire},
    stand::Stand,
};
use filter_user::dataplane::{HAND_OVER_KFUNC, kfunc_available, object};

/// Handshakes per address family.
const VISITS: u64 = 20;

fn at_least(major: u8, minor: u8) -> Result<bool> {
    Ok(KernelVersion::current()? >= KernelVersion::new(major, minor, 0))
}

/// A wrong answer would make the other tests expect the wrong rung.
#[test]
fn the_hand_over_is_found_where_it_is() -> Result<()> {
    ensure!(kfunc_available() == at_least(6, 9)?, "{HAND_OVER_KFUNC}: {}", kfunc_available());
    Ok(())
}

const EVERYTHING: u32 = flags::COOKIES
    | flags::CHECK_STATE
    | flags::CHECK_STATE_OF_HOST
    | flags::REFLECTION
    | flags::REPLIES
    | flags::EGRESS_SOURCES
    | flags::OWN_SOURCES
    | flags::MORE_LIMITS
    | flags::DIRECTED_BROADCAST
    | flags::REVERSE_PATH
    | flags::REVERSE_PATH_STRICT
    | flags::RULES
    | flags::CHALLENGE_RULES
    | flags::SERVICES_BY_DESTINATION
    | flags::OBSERVE_SERVICES;

/// Sixty-four rules that ask for every field, and every action.
fn rules() -> Box<Rules> {
    let mut rules = Box::new(Rules::EMPTY);
    (rules.len, rules.fields) = (64, u64::MAX);
    (rules.pass, rules.drop, rules.challenge) = (1 << 1, 1 << 2, 1 << 3);
    (rules.limit, rules.per_source, rules.observe) = (0xf0, 0x30, 0x50);
    rules
}

/// `floodwall explain` works here: verdicts ask it before each frame only where that is quick.
#[test]
fn a_rehearsal_says_what_the_program_does() -> Result<()> {
    let filter = Filter::rehearsed(Pair::new(Wire::Cable)?, &Config::default(), true)?;
    for (source, fate) in [("10.1.1.1", Reason::Bogon), ("9.9.9.9", Reason::NoListener)] {
        filter.expect("UDP to a closed port", &ip(source, "192.31.196.2").udp(9, 9, b"").bytes(), fate)?;
    }
    Ok(())
}

/// All programs pass the verifier with everything switched on, whether the kernel function is there or not.
#[test]
fn everything_switched_on_loads() -> Result<()> {
    let limit = Limit { interval: 1_000_000, tolerance: 1_000_000_000 };
    let rules = rules();
    // Not everywhere: what is behind a match is to be verified, too.
    let somewhere = Prefix { network: [9; 4], mask: [u32::MAX; 4] };
    for way in [0, flags::DECODE_IN_TC] {
        let global = Global {
            abi: VERSION,
            flags: EVERYTHING | way,
            lines: [1024; TABLES],
            management_families: 3,
            list_families: 3,
            reply_per_prefix: limit,
            reply_total: limit,
            unknown_acks: limit,
            protected_len: 1,
            protected: [somewhere; _],
            own_len: 1,
            own: [somewhere; _],
            closed_ports: limit,
            reply_window: 1,
            wire: wire(limit),
            ..Global::EMPTY
        };
        let mut ebpf = EbpfLoader::new()
            .override_global(name::CONFIG, bytes_of(&global), true)
            .override_global(name::RULES, rules_of(&rules), true)
            .load(object::filter()?)
            .context("maps")?;
        let xdp: &mut Xdp = ebpf.program_mut(name::XDP).context("no XDP program")?.try_into()?;
        xdp.load().context("the XDP program")?;
        let in_xdp = xdp.info()?.verified_instruction_count();
        let mut tc = |name| -> Result<Option<u32>> {
            let tc: &mut SchedClassifier = ebpf.program_mut(name).context(name)?.try_into()?;
            tc.load().context(name)?;
            Ok(tc.info()?.verified_instruction_count())
        };
        let (ingress, egress) = (tc(name::TC)?, tc(name::EGRESS)?);
        println!("verified: XDP {in_xdp:?}, tc {ingress:?} and {egress:?} (flags {way})");
    }
    Ok(())
}

/// Every limit and every flag that leaves something to do.
fn wire(limit: Limit) -> Policy {
    use filter_common::wire::flags::{DROP_HEADERS, DROP_OPTIONS, DROP_REDIRECTS, DROP_ROUTED};
    Policy {
        flags: DROP_HEADERS | DROP_OPTIONS | DROP_REDIRECTS | DROP_ROUTED,
        other_protocols: limit,
        fragments: limit,
        fragments_per_source: limit,
        errors: limit,
        errors_per_source: limit,
        echo: limit,
        echo_per_source: limit,
        echo_replies: limit,
        ..Policy::NONE
    }
}

fn bytes_of(global: &Global) -> &[u8] {
    // SAFETY: plain numbers, and the layout has no padding (asserted where it is declared).
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(global).cast(), size_of::<Global>()) }
}

fn rules_of(rules: &Rules) -> &[u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(rules).cast(), size_of::<Rules>()) }
}

/// By cookies where the kernel takes them over, by challenges where it does not; tc by TCX and by clsact.
#[test]
fn visitors_get_through() -> Result<()> {
    for tc in ["auto", "clsact"] {
        let stand = Stand::new(&Config::default().interface(&format!("tc = \"{tc}\"")))?;
        let before = stand.floodwall.scrape()?;
        stand.visit_well(VISITS)?;
        let used = if kfunc_available() {
            [("cookie_sent", 2 * VISITS), ("cookie_accepted", 2 * VISITS), ("challenge_sent", 0)]
        } else {
            let said = stand.floodwall.said();
            ensure!(said.contains("no SYN cookies here"), "the daemon told nobody:\n{said}");
            // One proof is enough for an IPv4 address, and for a /64.
            [("challenge_sent", 2), ("challenge_passed", 2), ("proven", 2 * VISITS)]
        };
        for (reason, least) in used {
            let packets = stand.risen(&before, reason)?;
            ensure!(packets >= least, "tc = {tc}: {packets} packets with the reason {reason}");
            println!("tc = {tc}: {packets} packets with the reason {reason}");
        }
    }
    Ok(())
}

#[test]
fn the_doctor_names_the_rungs() -> Result<()> {
    let stand = Stand::new(&Config::default())?;
    let said = stand.floodwall.succeed("doctor --config {config}")?;
    println!("{said}");
    let rung = |works: bool, name: &str| format!("{}  {name} ", if works { "yes " } else { "no  " });
    let (cookies, tcx) = (kfunc_available(), at_least(6, 6)?);
    for line in [
        rung(cookies, "syn = cookie"),
        rung(true, "syn = challenge"),
        rung(tcx, "tc tcx"),
        rung(true, "tc clsact"),
    ] {
        ensure!(said.contains(&line), "no {line:?} in\n{said}");
    }
    ensure!(said.contains("SYNs are challenged instead") != cookies, "{said}");
    ensure!(said.contains("falls back to clsact") != tcx, "{said}");
    Ok(())
}
