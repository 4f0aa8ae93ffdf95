//! UDP services that answer forged sources with more than they were asked: reflectors.
//!
//! Ports as seen in attacks (US-CERT TA14-017A and later reports); 443 is QUIC. Clients on this host talk to some of them, so
//! what comes from there has to be a reply.

/// Source ports, with the service's usual name.
pub const PORTS: &[(u16, u16, &str)] = &[
    (17, 17, "qotd"),
    (19, 19, "chargen"),
    (53, 53, "dns"),
    (69, 69, "tftp"),
    (111, 111, "portmap"),
    (123, 123, "ntp"),
    (137, 137, "netbios"),
    (161, 161, "snmp"),
    (177, 177, "xdmcp"),
    (389, 389, "cldap"),
    (427, 427, "slp"),
    (443, 443, "quic"),
    (520, 520, "rip"),
    (623, 623, "ipmi"),
    (1194, 1194, "openvpn"),
    (1434, 1434, "mssql"),
    (1701, 1701, "l2tp"),
    (1900, 1900, "ssdp"),
    (3283, 3283, "ard"),
    (3389, 3389, "rdp"),
    (3478, 3478, "stun"),
    (3702, 3702, "ws-discovery"),
    (5060, 5060, "sip"),
    (5093, 5093, "sentinel"),
    (5353, 5353, "mdns"),
    (5683, 5683, "coap"),
    (6881, 6881, "bittorrent"),
    (10001, 10001, "ubiquiti"),
    (10074, 10074, "tp240"),
    (11211, 11211, "memcached"),
    (17185, 17185, "vxworks"),
    (27015, 27015, "steam"),
    (27960, 27960, "quake"),
    (32410, 32414, "plex"),
    (33848, 33848, "jenkins"),
    (37810, 37810, "dvr"),
];

/// The bit map of [`crate::config::Ports::reflectors`] without the ports in `except`.
#[must_use]
pub fn bits(except: impl Fn(u16) -> bool) -> [u64; 65536 / 64] {
    let mut bits = [0; 65536 / 64];
    for (first, last, _) in PORTS {
        for port in (*first..=*last).filter(|port| !except(*port)) {
            bits[port as usize / 64] |= 1 << (port % 64);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_its_bit() {
        let bits = bits(|port| port == 123);
        let ports: Vec<_> = (0..=u16::MAX).filter(|p| bits[*p as usize / 64] >> (p % 64) & 1 != 0).collect();
        assert_eq!(ports.len(), PORTS.len() + 4 - 1, "five of plex, without ntp");
        assert!(ports.contains(&32414) && ports.contains(&11211) && !ports.contains(&123));
    }
}
