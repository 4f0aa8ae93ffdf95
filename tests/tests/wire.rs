//! Floods of pings, their answers, ICMP errors and fragments, beside honest traffic of all kinds; jumbo frames.

use anyhow::{Result, ensure};
use filter_tests::{
    bulk,
    config::Config,
    daemon::Floodwall,
    defence::{
        ERROR, Expected, FRAGMENT, PING, PING_REPLY, SMURF, defended, proving, stack_works_on, unprotected,
    },
    honest::{self, Far, ping},
    pair::{Family, Pair, SERVER_V4, Wire},
    server::{Kind, listen},
    stand::PACKETS,
};

fn flooded(kinds: &[Expected]) -> Result<()> {
    defended(&proving(), kinds, |stand| {
        let far = Far::new(&stand.pair)?;
        Family::BOTH.iter().try_for_each(|family| far.download(&stand.pair, *family))?;
        honest::pings_well(&stand.pair)?;
        Family::BOTH.iter().try_for_each(|family| honest::download_well(stand, *family))
    })
}

#[test]
fn a_flood_of_pings() -> Result<()> {
    flooded(&[PING])
}

#[test]
fn the_victim_of_a_smurf() -> Result<()> {
    flooded(&[PING_REPLY])
}

#[test]
fn the_amplifier_of_a_smurf() -> Result<()> {
    flooded(&[SMURF])
}

#[test]
fn a_flood_of_errors() -> Result<()> {
    flooded(&[ERROR])
}

#[test]
fn a_flood_of_fragments() -> Result<()> {
    flooded(&[FRAGMENT])
}

#[test]
fn all_of_them_at_once() -> Result<()> {
    flooded(&[PING, PING_REPLY, SMURF, ERROR, FRAGMENT])
}

/// Without Floodwall the stack answers every ping, works on every error, and keeps fragments until its memory is full:
/// then honest ones are lost.
#[test]
fn the_same_without_floodwall() -> Result<()> {
    let stand = unprotected(&proving())?;
    for kind in [PING, PING_REPLY, SMURF, ERROR, FRAGMENT] {
        stack_works_on(&stand, &[kind])?;
    }
    for family in Family::BOTH {
        let answered = ping(&stand.pair.client.namespace, family, 100, 3000)?;
        ensure!(answered < 50, "{family:?}: {answered} of 100 pings in fragments answered");
    }
    Ok(())
}

/// 9000 bytes are more than one buffer holds.
#[test]
fn jumbo_frames_both_ways() -> Result<()> {
    let pair = Pair::new(Wire::Cable)?;
    for end in [&pair.client, &pair.server] {
        end.namespace.ip(&format!("link set {} mtu 9000", end.device))?;
    }
    let config = Config::default()
        .interface("mode = \"native\"")
        .service("ports = [\"tcp/81\"]\nsyn = { mode = \"cookie\" }");
    let floodwall = Floodwall::start(&pair.server, &config)?;
    let served = bulk::serve(listen(&pair.server.namespace, 81, Kind::Tcp)?);
    pair.client.namespace.run(|| bulk::exchange((SERVER_V4, 81).into()))?;
    served.join().expect("the server does not panic")?;
    let after = floodwall.scrape()?;
    let (packets, bytes) = (after.sum(PACKETS, &[]), after.sum("floodwall_bytes_total", &[]));
    println!("{packets} packets, {bytes} bytes");
    ensure!(bytes > 100_000_000.0, "counted whole: {bytes} bytes");
    // Half of them are acknowledgments.
    ensure!(bytes / packets > 3000.0, "{packets} packets of {} bytes: no jumbo frames", bytes / packets);
    ensure!(after.sum(PACKETS, &["reason=\"headers_split\""]) < 0.5);
    let answered = ping(&pair.client.namespace, Family::V4, 20, 3000)?;
    ensure!(answered == 20, "{answered} pings of one frame each");
    Ok(())
}
