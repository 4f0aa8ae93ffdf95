//! Everything but TCP at once: reflections, closed ports, pings, their answers, ICMP errors, fragments and Smurf, from random
//! sources of both families.

use anyhow::{Result, ensure};
use filter_tests::{
    defence::{
        CLOSED, DNS, ERROR, Expected, FRAGMENT, MEMCACHED, NTP, PING, PING_REPLY, SMURF, defended, proving,
        stack_works_on, unprotected, with_dns,
    },
    honest::{self, Far, ping},
    pair::Family,
};

const KINDS: [Expected; 9] = [DNS, NTP, MEMCACHED, CLOSED, PING, PING_REPLY, ERROR, FRAGMENT, SMURF];

#[test]
fn nobody_loses_anything() -> Result<()> {
    defended(&with_dns(proving()), &KINDS, |stand| {
        let pair = &stand.pair;
        honest::datagrams_well(pair)?;
        honest::pings_well(pair)?;
        let far = Far::new(pair)?;
        for family in Family::BOTH {
            far.download(pair, family)?;
            honest::download_well(stand, family)?;
        }
        stand.visit_well(200)
    })
}

/// Without Floodwall the stack works on all of it, and has no memory left for honest fragments.
#[test]
fn the_same_without_floodwall() -> Result<()> {
    let stand = unprotected(&with_dns(proving()))?;
    stack_works_on(&stand, &KINDS)?;
    for family in Family::BOTH {
        let answered = ping(&stand.pair.client.namespace, family, 100, 3000)?;
        ensure!(answered < 50, "{family:?}: {answered} of 100 pings in fragments answered");
    }
    Ok(())
}
