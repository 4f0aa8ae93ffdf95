//! The stack's own counters: `/proc/net/netstat`, `snmp` and `snmp6`.

use std::{collections::BTreeMap, fs};

use anyhow::Result;

use crate::netns::Namespace;

/// Counters by name, e.g. `TcpExtListenDrops` or `TcpPassiveOpens`.
pub type Counters = BTreeMap<String, u64>;

/// Every counter of a namespace now.
pub fn read(namespace: &Namespace) -> Result<Counters> {
    namespace.run(|| {
        let mut counters = Counters::new();
        for file in ["snmp", "netstat"] {
            pairs(&fs::read_to_string(format!("/proc/thread-self/net/{file}"))?, &mut counters);
        }
        lines(&fs::read_to_string("/proc/thread-self/net/snmp6")?, &mut counters);
        Ok(counters)
    })
}

/// What rose between two looks, zeros left out.
#[must_use]
pub fn risen(before: &Counters, after: &Counters) -> Counters {
    let rise = |name: &String, now: &u64| now.checked_sub(before.get(name).copied().unwrap_or(0));
    let risen = after.iter().filter_map(|(name, now)| Some((name.clone(), rise(name, now)?)));
    risen.filter(|(_, rise)| *rise > 0).collect()
}

/// Two lines for each group: `Tcp: NAME NAME ..` and `Tcp: VALUE VALUE ..`.
fn pairs(text: &str, counters: &mut Counters) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let Some((group, names)) = names.split_once(':') else { continue };
        let values = values.split_whitespace().skip(1);
        for (name, value) in names.split_whitespace().zip(values) {
            // The few signed ones (MaxConn) are none of ours.
            if let Ok(value) = value.parse() {
                counters.insert(format!("{group}{name}"), value);
            }
        }
    }
}

/// A line for each counter: its name and its value.
fn lines(text: &str, counters: &mut Counters) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
            counters.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_go_together() {
        let mut counters = Counters::new();
        pairs("Tcp: RtoMin MaxConn InSegs\nTcp: 200 -1 7\nUdp: InErrors\nUdp: 3\n", &mut counters);
        lines("Udp6NoPorts                     \t5\n", &mut counters);
        let expected = [("TcpInSegs", 7), ("TcpRtoMin", 200), ("Udp6NoPorts", 5), ("UdpInErrors", 3)];
        assert_eq!(counters, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
}
