//! Profiles of services: what a `[[service]]` does unless it says otherwise. One table; the docs show it as it is here.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Problems,
    rule::{Knob, Rule, tables},
    schema::Service,
};

/// A preset's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset(usize);

/// Names, in the order of [`PROFILES`].
pub(super) const PRESETS: &[(&str, Preset)] = &[
    ("web", Preset(0)),
    ("dns", Preset(1)),
    ("mail", Preset(2)),
    ("game", Preset(3)),
    ("router", Preset(4)),
];

/// What each preset is, why, and what it writes into the `[[service]]`.
pub(super) const PROFILES: [(&str, &str); 5] = [
    (
        "HTTP and QUIC. A busy proxy or NAT stays below the rate.",
        r#"ports = ["tcp/80", "tcp/443", "udp/443"]
syn = { mode = "auto", on = 20000, off = 5000 }
rate = { per_source = "20000/s burst 40000" }
"#,
    ),
    (
        "A DNS server. Large resolvers ask from one address; few queries come over TCP.",
        r#"ports = ["udp/53", "tcp/53"]
syn = { mode = "auto", on = 2000, off = 500 }
rate = { per_source = "5000/s burst 10000" }
"#,
    ),
    (
        "SMTP, submission, IMAP, POP3. Nobody sends data in a SYN.",
        r#"ports = ["tcp/25", "tcp/465", "tcp/587", "tcp/143", "tcp/993", "tcp/110", "tcp/995"]
syn = { mode = "auto", on = 2000, off = 500, data = "drop" }
rate = { per_source = "5000/s burst 10000" }
"#,
    ),
    (
        "A game server; the ports are the game's. A player sends up to some hundred packets a second, and few share an address.",
        r#"syn = { mode = "auto", on = 1000, off = 250 }
rate = { per_source = "1000/s burst 2000" }
"#,
    ),
    (
        "BGP and BFD of a router. Peers with TCP-MD5 or TCP-AO take neither cookie nor challenge, so their SYNs are only limited.",
        r#"ports = ["tcp/179", "udp/3784", "udp/3785", "udp/4784"]
syn = { mode = "limit", on = 200, data = "drop" }
rate = { per_source = "5000/s burst 10000" }
"#,
    ),
];

/// A rule for `[[service]]`s with profiles.
pub(super) fn services() -> impl Rule<Out = Vec<Service>> {
    Services
}

struct Services;

impl Rule for Services {
    type Out = Vec<Service>;

    fn read(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Self::Out> {
        let mut value = value.clone();
        if let DeValue::Array(services) = value.get_mut() {
            services.iter_mut().for_each(|service| apply(service.get_mut()));
        }
        tables::<Service>().read(&value, problems)
    }

    fn absent(&self, name: &str, span: Range<usize>, problems: &mut Problems) -> Option<Self::Out> {
        tables::<Service>().absent(name, span, problems)
    }

    fn knob(&self) -> Knob {
        tables::<Service>().knob()
    }
}

/// The same for a whole file's table.
pub(super) fn fill_in(file: &mut DeTable<'_>) {
    if let Some(DeValue::Array(services)) = file.get_mut("service").map(Spanned::get_mut) {
        services.iter_mut().for_each(|service| apply(service.get_mut()));
    }
}

/// Adds what the service's profile says to what is written; an unknown one is the schema's to complain about.
fn apply(service: &mut DeValue<'_>) {
    let DeValue::Table(table) = service else { return };
    let named = table.get("profile").and_then(|name| name.as_ref().as_str());
    let index = named.and_then(|name| PRESETS.iter().position(|(known, _)| *known == name));
    let Some(preset) = index.and_then(|index| DeTable::parse(PROFILES[index].1).ok()) else { return };
    fill(table, preset.into_inner());
}

/// Adds the keys of `preset` that `table` lacks, at no place: nobody wrote them.
fn fill<'a>(table: &mut DeTable<'a>, preset: DeTable<'a>) {
    for (key, value) in preset {
        match (table.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(written)), DeValue::Table(value)) => fill(written, value),
            (Some(_), _) => {}
            (None, value) => {
                table.insert(Spanned::new(0..0, key.into_inner()), Spanned::new(0..0, placeless(value)));
            }
        }
    }
}

fn placeless(value: DeValue<'_>) -> DeValue<'_> {
    match value {
        DeValue::Array(mut items) => {
            for item in items.iter_mut() {
                let inner = std::mem::replace(item.get_mut(), DeValue::Boolean(false));
                *item = Spanned::new(0..0, placeless(inner));
            }
            DeValue::Array(items)
        }
        DeValue::Table(table) => {
            let mut empty = DeTable::new();
            fill(&mut empty, table);
            DeValue::Table(empty)
        }
        other => other,
    }
}
