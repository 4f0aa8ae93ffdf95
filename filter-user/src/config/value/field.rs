//! What a rule says of a packet's fields.

use std::{fmt::Display, str::FromStr};

use filter_common::headers::flag;

use super::{Complaint, Leaf, digits, protocol, text};
use crate::config::rule::suggest;

/// Values from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between<T> {
    /// The lowest.
    pub first: T,
    /// The highest.
    pub last: T,
}

/// `80` or `8000-8010`, within `bounds`.
pub(in crate::config) fn between<T>(
    bounds: Between<T>,
    what: &'static str,
    example: &'static str,
) -> Leaf<Between<T>>
where
    T: Copy + Display + FromStr + PartialOrd + 'static,
{
    let hint = format!("write \"{example}\"; accepted: {} to {}", bounds.first, bounds.last);
    text(format!("`\"N\"` or a range `\"FIRST-LAST\"`, {} to {}", bounds.first, bounds.last), move |raw| {
        let bad = || Complaint::new(format!("{raw:?} is no {what}"), &hint);
        let (first, last) = raw.split_once('-').unwrap_or((raw, raw));
        let (first, last): (T, T) = (digits(first).ok_or_else(bad)?, digits(last).ok_or_else(bad)?);
        if first < bounds.first || last > bounds.last {
            return Err(bad());
        }
        if first > last {
            return Err(Complaint::new(format!("the range {raw} is empty: it runs backwards"), &hint));
        }
        Ok(Between { first, last })
    })
    .pattern("^[0-9]+(-[0-9]+)?$")
}

/// An IP protocol's number, by name or number.
pub(in crate::config) fn ip_protocol() -> Leaf<u8> {
    let names: Vec<_> = protocol::NAMES.iter().map(|(name, _)| *name).collect();
    text(format!("{}, or a number `\"0\"` to `\"255\"`", quoted(&names)), move |raw| {
        protocol::number(raw)
            .ok_or_else(|| Complaint::new(format!("unknown protocol {raw:?}"), suggest(raw, &names)))
    })
    .pattern("^[a-z0-9]+$")
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", ")
}

/// TCP flags that have to be set, and those that may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags {
    /// Flags that are looked at.
    pub mask: u8,
    /// Their values.
    pub value: u8,
}

const FLAGS: &[(&str, u8)] = &[
    ("fin", flag::FIN),
    ("syn", flag::SYN),
    ("rst", flag::RST),
    ("psh", flag::PSH),
    ("ack", flag::ACK),
    ("urg", flag::URG),
    ("ece", flag::ECE),
    ("cwr", flag::CWR),
];

/// `syn,!ack`
pub(in crate::config) fn tcp_flags() -> Leaf<TcpFlags> {
    let names: Vec<_> = FLAGS.iter().map(|(name, _)| *name).collect();
    let accepts = format!("flags that are set, or not with `!`: `\"syn,!ack\"`, of {}", quoted(&names));
    text(accepts, move |raw| {
        let mut flags = TcpFlags { mask: 0, value: 0 };
        for word in raw.split(',').map(str::trim) {
            let (name, is_set) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
            let Some((_, bit)) = FLAGS.iter().find(|(known, _)| *known == name) else {
                return Err(Complaint::new(format!("unknown TCP flag {name:?}"), suggest(name, &names)));
            };
            if flags.mask & bit != 0 {
                return Err(Complaint::new(format!("the flag {name} is there twice"), "name each flag once"));
            }
            flags.mask |= bit;
            flags.value |= if is_set { *bit } else { 0 };
        }
        Ok(flags)
    })
    .pattern("^\\s*!?[a-z]+\\s*(,\\s*!?[a-z]+\\s*)*$")
}
