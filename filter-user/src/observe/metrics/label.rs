//! The labels, and which values they can have. No address is among them.

use std::fmt;

use filter_common::{abi::HandOver, ban::Origin, reason::Reason};

use crate::{
    config::Mode,
    daemon::{feeds::Looks, notify::Counts},
    detect::vector::Vector,
};

/// A label's declaration.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it can say.
    pub values: Values,
}

/// What a label can say.
#[derive(Clone, Copy)]
pub enum Values {
    /// One of these, whatever the configuration.
    Fixed(fn() -> Vec<&'static str>),
    /// A name from the configuration or the host, and whose.
    Named(&'static str),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(values) => values().fmt(f),
            Self::Named(whose) => whose.fmt(f),
        }
    }
}

macro_rules! labels {
    ($($id:ident $name:literal $values:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub(super) const $id: Label = Label { name: $name, values: $values };
        )*
    };
}

/// Limits, and the reason that a packet over it is dropped for.
pub(super) const LIMITS: [(&str, Reason); 13] = [
    ("service_syn", Reason::SynLimit),
    ("unproven", Reason::UnprovenRate),
    ("udp_closed_port", Reason::UdpClosedPort),
    ("source_bytes", Reason::SourceByteRate),
    ("prefix", Reason::PrefixRate),
    ("service", Reason::ServiceRate),
    ("service_bytes", Reason::ServiceByteRate),
    ("flows", Reason::FlowRate),
    ("host", Reason::HostRate),
    ("source", Reason::SourceRate),
    ("source_syn", Reason::SourceSynRate),
    ("reply_prefix", Reason::ReplyPrefixRate),
    ("reply_total", Reason::ReplyTotalRate),
];

/// Ways of XDP.
pub(super) const WAYS: [&str; 3] = ["native", "generic", "offloaded"];
/// Hooks that programs of ours are attached to.
pub(super) const HOOKS: [&str; 3] = ["xdp", "tc", "egress"];
/// How the keeping of an incident went.
pub(super) const KEEPING: [&str; 2] = ["kept", "failed"];
/// Address families.
pub(super) const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

labels! {
    INTERFACE "interface" Values::Named("a configured interface");
    SERVICE "service" Values::Named("a [[service]]; * is the rest of the host");
    RULE "rule" Values::Named("a [[rule]]");
    FEED "feed" Values::Named("a [[feed]]");
    TARGET "target" Values::Named("a [[notify]]");
    VERSION "version" Values::Named("the daemon's version");
    VERDICT "verdict" Values::Fixed(|| vec!["pass", "drop", "reply", "would_drop", "would_reply"]);
    REASON "reason" Values::Fixed(|| Reason::ALL.iter().map(|reason| reason.label()).collect());
    RULE_VERDICT "verdict" Values::Fixed(|| {
        vec!["pass", "drop", "challenge", "count", "would_pass", "would_drop", "would_challenge"]
    });
    COOKIE "result" Values::Fixed(|| vec!["valid", "invalid"]);
    HAND_OVER "result" Values::Fixed(|| HandOver::ALL.iter().map(|(_, label)| *label).collect());
    LOOK "result" Values::Fixed(|| Looks::default().by_label().map(|(label, _)| label).to_vec());
    NOTICE "result" Values::Fixed(|| Counts::LABELS.to_vec());
    VECTOR "vector" Values::Fixed(|| Vector::ALL.iter().map(|vector| vector.label()).collect());
    CAUSE "cause" Values::Fixed(|| vec!["ring_full", "budget"]);
    KEPT "result" Values::Fixed(|| KEEPING.to_vec());
    LIMITER "limiter" Values::Fixed(|| LIMITS.map(|(label, _)| label).to_vec());
    LIST "list" Values::Fixed(|| vec!["allow", "block"]);
    FAMILY "family" Values::Fixed(|| FAMILIES.to_vec());
    LEFT_OUT "why" Values::Fixed(|| vec!["wide", "bad", "other", "spared"]);
    BAN_KIND "kind" Values::Fixed(|| vec!["source", "prefix"]);
    ORIGIN "origin" Values::Fixed(|| Origin::ALL.map(Origin::label).to_vec());
    MAP "map" Values::Fixed(|| {
        vec!["sources", "replies", "recent", "proven", "queries", "flows", "bans", "banned"]
    });
    MODE_LABEL "mode" Values::Fixed(|| [Mode::Observe, Mode::Enforce].map(Mode::label).to_vec());
    ATTACHED "mode" Values::Fixed(|| WAYS.to_vec());
    HOOK "hook" Values::Fixed(|| HOOKS.to_vec());
}
