//! The program in the kernel and the decision on the host agree on every frame: what is fuzzed there is what runs here.
//!
//! `FLOODWALL_FRAMES` says how many frames are generated, `FLOODWALL_SEED` which.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use filter_common::reason::Reason;
use filter_tests::config::Config;

mod both;
mod configs;
mod exhaustive;
mod frames;
mod random;

use both::Both;
use random::Random;

/// Seven seconds, most of them for loading programs.
const FRAMES: u64 = 1_000_000;
/// Differences that are shown before giving up.
const SHOWN: usize = 10;

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    variable("FLOODWALL_SEED").unwrap_or(now)
}

/// So many percent of all frames, generated for that configuration.
fn generated(name: &str, config: &Config, percent: u64, reached: &[Reason]) -> Result<()> {
    let (seed, count) = (seed(), variable("FLOODWALL_FRAMES").unwrap_or(FRAMES) * percent / 100);
    println!("{name}: FLOODWALL_SEED={seed}, {count} frames");
    both::with(config, |both| {
        let mut random = Random::new(seed);
        agree(both, (0..count).map(|_| frames::frame(&mut random)))?;
        println!("{name}: {}", both.summary());
        if count < 10_000 { Ok(()) } else { both.has_met(reached) }
    })
}

/// Every frame, with the first differences.
fn agree(both: &mut Both<'_>, frames: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    let mut differences = Vec::new();
    for (number, frame) in frames.enumerate() {
        if let Err(error) = both.check(&frame) {
            differences.push(format!("frame {number}: {error:#}"));
            if differences.len() == SHOWN {
                break;
            }
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// What the main configuration has to meet: a grammar that lost its way would agree on nothing.
const REACHED: &[Reason] = &[
    Reason::AllowListed,
    Reason::BlockList,
    Reason::FragmentLength,
    Reason::FragmentOverflow,
    Reason::FragmentOverlap,
    Reason::IcmpMismatch,
    Reason::Ipv4Options,
    Reason::OtherProtocol,
    Reason::Redirect,
    Reason::RoutingHeader,
    Reason::UnknownHeader,
    Reason::Bogon,
    Reason::DirectedBroadcast,
    Reason::Fragment,
    Reason::IcmpTruncated,
    Reason::Ipv4Header,
    Reason::Ipv4Truncated,
    Reason::Ipv6Extensions,
    Reason::Ipv6Header,
    Reason::Ipv6Truncated,
    Reason::Land,
    Reason::LinkControl,
    Reason::Management,
    Reason::NoListener,
    Reason::NotIp,
    Reason::OwnSource,
    Reason::Pass,
    Reason::PortZero,
    Reason::SynData,
    Reason::SynFragmented,
    Reason::TcpFlags,
    Reason::TcpHeader,
    Reason::TcpTruncated,
    Reason::TtlSecurity,
    Reason::UdpReflection,
    Reason::UdpTruncated,
    Reason::VlanDepth,
];

#[test]
fn kernel_and_host_agree() -> Result<()> {
    generated("main", &configs::main("enforce"), 70, REACHED)
}

/// Bytes of answers differ (keys do); their reasons and lengths don't.
#[test]
fn kernel_and_host_agree_on_answers() -> Result<()> {
    use Reason::{ChallengeSent, CookieInvalid, CookieSent, NoListener, NotLocal};
    let reached = [ChallengeSent, CookieInvalid, CookieSent, NoListener, NotLocal];
    generated("answers", &configs::answers("enforce"), 15, &reached)
}

#[test]
fn kernel_and_host_agree_while_observing() -> Result<()> {
    generated("observe", &configs::answers("observe"), 5, &[Reason::ChallengeSent, Reason::CookieSent])?;
    generated("observe", &configs::main("observe"), 5, &[Reason::Bogon])
}

#[test]
fn kernel_and_host_agree_when_all_is_off() -> Result<()> {
    generated("bare", &configs::bare(), 5, &[Reason::Pass, Reason::Bogon])
}
