//! The kinds of values.

mod field;
mod net;
mod origin;
mod probe;
mod protocol;
mod rate;
mod time;

use std::{
    ops::RangeInclusive,
    path::{Component, PathBuf},
};

pub use self::{
    field::{Between, TcpFlags},
    net::{PortRange, Protocol},
    origin::Origin,
    probe::Probe,
    rate::{ByteRate, Rate},
    time::parse_duration,
};
pub(super) use self::{
    field::{between, ip_protocol, tcp_flags},
    net::{listen, port_range, prefix},
    origin::{header, origin},
    probe::probe,
    protocol::protocol,
    rate::{byte_rate, rate},
    time::duration,
};
use super::rule::{Complaint, Leaf, Shape, integer, suggest, text};

/// One of `choices`.
pub(super) fn choice<T: Copy + 'static>(choices: &'static [(&'static str, T)]) -> Leaf<T> {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    let shape = names.clone();
    text(names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", "), move |raw| {
        choices
            .iter()
            .find(|(name, _)| *name == raw)
            .map(|(_, value)| *value)
            .ok_or_else(|| Complaint::new(format!("unknown value {raw:?}"), suggest(raw, &names)))
    })
    .of(shape)
}

/// A whole number in `bounds`.
pub(super) fn number(bounds: RangeInclusive<u32>) -> Leaf<u32, true> {
    let accepts = format!("{} to {}", bounds.start(), bounds.end());
    let hint = format!("accepted: {accepts}");
    integer(accepts, Shape::Number(bounds.clone()), move |raw| match raw.parse() {
        Ok(value) if bounds.contains(&value) => Ok(value),
        _ => Err(Complaint::new(format!("{raw} is out of bounds"), &hint)),
    })
}

/// A power of two in `bounds`.
pub(super) fn power_of_two(bounds: RangeInclusive<u32>) -> Leaf<u32, true> {
    let accepts = format!("a power of two, {} to {}", bounds.start(), bounds.end());
    let hint = format!("accepted: {accepts}");
    integer(accepts, Shape::PowerOfTwo(bounds.clone()), move |raw| {
        let value: u32 = raw.parse().map_err(|_| Complaint::new(format!("{raw} is out of bounds"), &hint))?;
        if !bounds.contains(&value) {
            return Err(Complaint::new(format!("{raw} is out of bounds"), &hint));
        }
        if !value.is_power_of_two() {
            let (below, above) = (value.next_power_of_two() / 2, value.next_power_of_two());
            let hint = format!("the nearest are {below} and {above}");
            return Err(Complaint::new(format!("{value} is no power of two"), hint));
        }
        Ok(value)
    })
}

/// A name of letters, digits, `-` and `_`: it becomes a label.
pub(super) fn name() -> Leaf<String> {
    text("1 to 32 letters, digits, `-`, `_`", |raw| {
        let fits = (1..=32).contains(&raw.len())
            && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(raw.to_owned()) } else { Err(bad_name(raw, "a name")) }
    })
    .pattern("^[A-Za-z0-9_-]{1,32}$")
}

/// A network interface's name (Linux: `dev_valid_name`).
pub(super) fn interface_name() -> Leaf<String> {
    text("an interface's name, at most 15 bytes", |raw| {
        let fits = (1..=15).contains(&raw.len())
            && raw != "."
            && raw != ".."
            && !raw.bytes().any(|b| b == b'/' || b == b':' || b == 0)
            && !raw.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits { Ok(raw.to_owned()) } else { Err(bad_name(raw, "an interface's name")) }
    })
    .pattern("^[^/:\\s]{1,15}$")
}

fn bad_name(raw: &str, what: &str) -> Complaint {
    let shown: String = raw.chars().take(40).collect();
    Complaint::new(format!("{shown:?} cannot be {what}"), "short, without blanks, slashes and colons")
}

/// An absolute path.
pub(super) fn path() -> Leaf<PathBuf> {
    text("an absolute path", |raw| {
        let path = PathBuf::from(raw);
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if path.is_absolute() && !climbs && !raw.contains('\0') && raw.len() < 4096 {
            return Ok(path);
        }
        Err(Complaint::new("not an absolute path", "start it with / and leave out .."))
    })
    .pattern("^/")
}

/// A program's argument.
pub(super) fn argument() -> Leaf<String> {
    text("a text of at most 1024 bytes", |raw| {
        let fits = raw.len() <= 1024 && !raw.contains('\0');
        let wrong = || Complaint::new("no argument", "at most 1024 bytes, none of them NUL");
        fits.then(|| raw.to_owned()).ok_or_else(wrong)
    })
}

/// What to log: a level, or directives of `tracing-subscriber`.
pub(super) fn log_filter() -> Leaf<String> {
    text("`\"error\"`, `\"warn\"`, `\"info\"`, `\"debug\"`, `\"trace\"` or tracing directives", |raw| {
        let parsed = tracing_subscriber::EnvFilter::builder().parse(raw);
        parsed.map(|_| raw.to_owned()).map_err(|_| {
            Complaint::new(format!("{raw:?} is no log filter"), "write \"info\", \"debug\" or \"warn\"")
        })
    })
}

/// Digits only: `u64::from_str` would take a plus sign too.
fn digits<T: std::str::FromStr>(raw: &str) -> Option<T> {
    raw.bytes().all(|b| b.is_ascii_digit()).then(|| raw.parse().ok()).flatten()
}
