//! IP protocols.

use super::{Complaint, Leaf, digits, text};
use crate::config::rule::suggest;

/// Names that the file may use (IANA protocol numbers); any other goes by its number.
pub(super) const NAMES: [(&str, u8); 19] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

/// The number of a protocol that is named, or is a number itself.
pub(super) fn number(raw: &str) -> Option<u8> {
    NAMES.iter().find(|(name, _)| *name == raw).map(|(_, number)| *number).or_else(|| digits(raw))
}

/// Those that have rules of their own.
const OWN: [(u8, &str); 4] = [(1, "[icmp]"), (6, "[[service]]"), (17, "[[service]]"), (58, "[icmp]")];

/// A protocol by name or number.
pub(in crate::config) fn protocol() -> Leaf<u8> {
    let others = NAMES.iter().filter(|(_, number)| OWN.iter().all(|(own, _)| own != number));
    let accepted: Vec<_> = others.map(|(name, _)| format!("`\"{name}\"`")).collect();
    text(format!("{} or a number: `\"89\"`", accepted.join(", ")), |raw| {
        let Some(number) = number(raw) else {
            let known = NAMES.map(|(name, _)| name);
            return Err(Complaint::new(format!("{raw:?} is no protocol"), suggest(raw, &known)));
        };
        match OWN.iter().find(|(own, _)| *own == number) {
            Some((_, table)) => {
                let message = format!("protocol {number} has rules of its own");
                Err(Complaint::new(message, format!("remove it; {table} decides")))
            }
            None => Ok(number),
        }
    })
    .pattern("^[a-z0-9]+$")
}
