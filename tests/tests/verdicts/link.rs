//! What a link needs passes in every profile, from every source that it may have.

use anyhow::Result;
use filter_common::reason::Reason;
use filter_tests::{filter::Filter, packet::control};

use super::{Fixture, check, config};

#[test]
fn the_link_lives() -> Result<()> {
    for profile in ["internet", "lan", "cloud"] {
        let filter = Filter::new(&config(profile))?;
        check(&filter, alive())?;
        filter.expect("ND from afar", &control::neighbour_solicitation_from_afar(), Reason::NdHopLimit)?;
    }
    Ok(())
}

pub(crate) fn alive() -> Vec<Fixture> {
    vec![
        ("ARP request", control::arp_request(), Reason::NotIp),
        ("neighbour solicitation", control::neighbour_solicitation("fe80::99:1"), Reason::LinkControl),
        (
            "the same from a global address",
            control::neighbour_solicitation("2620:4f:8000::1"),
            Reason::LinkControl,
        ),
        ("DAD", control::neighbour_solicitation("::"), Reason::LinkControl),
        ("neighbour advertisement", control::neighbour_advertisement(), Reason::LinkControl),
        ("router solicitation", control::router_solicitation("fe80::99:1"), Reason::LinkControl),
        ("router solicitation without address", control::router_solicitation("::"), Reason::LinkControl),
        ("router advertisement", control::router_advertisement(), Reason::LinkControl),
        ("MLD report", control::mld_report("fe80::99:1"), Reason::LinkControl),
        ("MLD report while DAD runs", control::mld_report("::"), Reason::LinkControl),
        ("MLD query", control::mld_query(), Reason::LinkControl),
        ("IGMP report", control::igmp_report("192.31.196.1"), Reason::LinkControl),
        ("IGMP report without address", control::igmp_report("0.0.0.0"), Reason::LinkControl),
        ("DHCPDISCOVER", control::dhcp_discover(), Reason::LinkControl),
        ("DHCPOFFER", control::dhcp_offer("192.31.196.1"), Reason::LinkControl),
        ("DHCPOFFER of a private server", control::dhcp_offer("10.0.0.1"), Reason::LinkControl),
        ("DHCPv6 solicit", control::dhcpv6_solicit(), Reason::LinkControl),
        ("DHCPv6 reply", control::dhcpv6_reply(), Reason::LinkControl),
    ]
}
