//! Honest traffic of all kinds beside a flood: each function is an error if something is lost.

use std::{net::IpAddr, thread};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{
    bulk,
    netns::Namespace,
    pair::{Family, Pair},
    server::{Kind, listen},
    stand::Stand,
};

mod datagrams;
mod path;
mod ping;

pub use datagrams::{Echo, ask};
pub use path::Far;
pub use ping::ping;

/// What a host does with UDP: it answers DNS queries, and asks for names, for the time and for web pages.
pub fn datagrams_well(pair: &Pair) -> Result<()> {
    let (client, server) = (&pair.client.namespace, &pair.server.namespace);
    let _served = Echo::on(server, &[53])?;
    let _asked = Echo::on(client, &[53, 123, 443])?;
    for family in Family::BOTH {
        let (inwards, outwards) = (family.server(), family.client());
        ask_well("DNS queries to the host", client, (inwards, 53))?;
        ask_well("DNS queries of the host", server, (outwards, 53))?;
        ask_well("NTP queries of the host", server, (outwards, 123))?;
        ask_well("QUIC of the host", server, (outwards, 443))?;
    }
    Ok(())
}

fn ask_well(what: &str, from: &Namespace, server: (IpAddr, u16)) -> Result<()> {
    let [at_once, answered] = ask(from, server, 200)?;
    // A vCPU that is taken away for a while overflows the device's ring, before any program sees the packet.
    ensure!(
        answered == 200 && at_once >= 198,
        "{what}, {}: {at_once} at once, {answered} of 200 answered",
        server.0
    );
    Ok(())
}

/// Pings in one packet and in fragments, both families.
pub fn pings_well(pair: &Pair) -> Result<()> {
    for family in Family::BOTH {
        for (what, size) in [("pings", 56), ("pings in fragments", 3000)] {
            let answered = ping(&pair.client.namespace, family, 100, size)?;
            // As above.
            ensure!(answered >= 98, "{family:?}: {answered} of 100 {what} answered");
        }
    }
    Ok(())
}

/// 100 MB each way through port 81, while others visit.
pub fn download_well(stand: &Stand, family: Family) -> Result<()> {
    let pair = &stand.pair;
    let served = bulk::serve(listen(&pair.server.namespace, 81, Kind::Tcp)?);
    let tried = thread::scope(|scope| -> Result<_> {
        let exchange = || bulk::exchange((family.server(), 81).into());
        let download = scope.spawn(move || pair.client.namespace.run(exchange));
        let tried = stand.visit(family.server(), 100, 200)?;
        download.join().map_err(|_| anyhow!("the client panicked"))?.context("100 MB each way")?;
        Ok(tried)
    })?;
    served.join().map_err(|_| anyhow!("the server panicked"))??;
    ensure!(tried.failed() == 0, "{family:?} visitors: {}", tried.summary());
    Ok(())
}
