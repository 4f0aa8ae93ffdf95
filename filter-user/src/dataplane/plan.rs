//! What a validated configuration asks of the data path, before anything is touched.
//!
//! [`crate::config`] compiles a [`Plan`]; [`super::apply`] makes it so. Nothing in between reads TOML, and
//! nothing in `config` opens a map.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use filter_common::{
    abi::name,
    config::{Config, Ports, Summary},
    list::{Listed, build::Span},
    rules::Rules,
};
use ipnet::IpNet;

use super::Next;

/// How to attach to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Native XDP, else generic with a warning.
    Auto,
    /// Native XDP or an error.
    Native,
    /// Generic (skb) XDP.
    Generic,
}

/// How to attach a tc program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// TCX where the kernel has it (6.6), else clsact.
    Auto,
    /// TCX or an error.
    Tcx,
    /// A clsact filter, for hosts whose other tc programs need that order.
    Clsact,
}

/// What packets go on to when they pass.
#[derive(Clone, Debug)]
pub struct NextPlan {
    /// Where it is pinned.
    pub path: PathBuf,
    /// What is; without it packets go on to the stack.
    pub program: Option<Next>,
}

impl NextPlan {
    /// The program's id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.program.as_ref().map(|program| program.id)
    }
}

/// One interface of a [`Plan`].
#[derive(Clone, Debug)]
pub struct InterfacePlan {
    /// Its name, as the kernel knows it.
    pub name: String,
    /// How XDP is attached.
    pub attach: Attach,
    /// How tc ingress is attached; `None` when no service uses cookies.
    pub ingress: Option<Ingress>,
    /// How tc egress is attached; `None` when nothing asks for it.
    pub egress: Option<Ingress>,
    /// Its frames may lie in several buffers.
    pub frags: bool,
    /// The XDP program that goes on with what passes.
    pub next: Option<NextPlan>,
    /// The read-only global of its programs; `interface`, `seed` and `abi` are filled in by `apply`.
    pub config: Box<Config>,
}

/// Table sizes, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Token buckets for sources (a power of two, four to a cache line).
    pub sources: u32,
    /// Token buckets for answered prefixes (a power of two).
    pub replies: u32,
    /// Tuples of recent handshakes (a power of two).
    pub recent: u32,
    /// Sources that have answered a challenge (a power of two).
    pub proven: u32,
    /// UDP tuples that replies are awaited for (a power of two).
    pub queries: u32,
    /// UDP flows that come in (a power of two).
    pub flows: u32,
    /// Own addresses.
    pub local: u32,
    /// Management prefixes.
    pub management: u32,
    /// Words of bits of the IPv4 lists.
    pub list_bits: u32,
    /// Records of the IPv4 lists.
    pub list_records: u32,
    /// Pages of the IPv4 lists.
    pub list_pages: u32,
    /// Nodes of the IPv6 lists.
    pub list_nodes: u32,
    /// Banned sources.
    pub bans: u32,
    /// Banned prefixes.
    pub banned: u32,
}

/// How many prefixes a list was given, by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// IPv4.
    pub v4: u64,
    /// IPv6.
    pub v6: u64,
}

/// What the allow and block lists come to.
#[derive(Clone)]
pub struct Lists {
    /// IPv4: disjoint, ascending.
    pub v4: Vec<Span<u32>>,
    /// IPv6: disjoint, ascending.
    pub v6: Vec<Span<u128>>,
    /// Summary of both.
    pub listed: Box<Listed>,
    /// As given: allow, block.
    pub prefixes: [Prefixes; 2],
    /// A hash of all of it.
    pub digest: [u8; 32],
    /// What feeds are part of it.
    pub fed: Vec<Fed>,
    /// A hash of what it was made of, where feeds are part of it.
    pub made_of: [u8; 32],
    /// Those without the feeds.
    pub written: Option<Arc<Lists>>,
}

/// A feed that is part of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Its name.
    pub name: String,
    /// Which copy of it.
    pub id: u64,
    /// Ranges that were cut, because they hold somebody who has to get through.
    pub cut: u64,
    /// There was no room for it.
    pub left_out: bool,
}

impl Lists {
    /// As they are in the configuration and its files, without feeds.
    #[must_use]
    pub fn written(self: &Arc<Self>) -> Arc<Self> {
        self.written.as_ref().unwrap_or(self).clone()
    }
}

impl Default for Lists {
    fn default() -> Self {
        let listed = Box::new(Listed::EMPTY);
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            listed,
            prefixes: Default::default(),
            digest: [0; 32],
            fed: Vec::new(),
            made_of: [0; 32],
            written: None,
        }
    }
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("prefixes", &self.prefixes).finish_non_exhaustive()
    }
}

/// Prefixes with a word for each: a bit for every rule or service that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Sources of rules.
    pub rule_sources: Vec<(IpNet, u64)>,
    /// Destinations of rules.
    pub rule_destinations: Vec<(IpNet, u64)>,
    /// Destinations of services.
    pub service_destinations: Vec<(IpNet, u64)>,
}

impl Words {
    /// Each with the name of its map.
    #[must_use]
    pub const fn by_map(&self) -> [(&'static str, &Vec<(IpNet, u64)>); 3] {
        [
            (name::RULE_SRC, &self.rule_sources),
            (name::RULE_DST, &self.rule_destinations),
            (name::SERVICE_DST, &self.service_destinations),
        ]
    }
}

/// Everything that [`super::apply`] needs to know.
#[derive(Clone)]
pub struct Plan {
    /// Folder under bpffs, e.g. `/sys/fs/bpf/floodwall`; a versioned folder is made inside it.
    pub pins: PathBuf,
    /// While there is a file of that path nothing is attached: `floodwall panic` has made it.
    pub forbidden_by: PathBuf,
    /// Interfaces, at most [`filter_common::abi::MAX_INTERFACES`].
    pub interfaces: Vec<InterfacePlan>,
    /// Names of configured interfaces that are not there: a device that was attached under one of them keeps its filter.
    pub absent: Vec<String>,
    /// Somebody else's XDP programs give way.
    pub replace: bool,
    /// Destination port to service, or to a class of services.
    pub ports: Box<Ports>,
    /// The operator's rules.
    pub rules: Box<Rules>,
    /// Their names, in the order of their numbers.
    pub rule_names: Vec<String>,
    /// What rules and services say about addresses.
    pub words: Words,
    /// Summary of `management`.
    pub summary: Box<Summary>,
    /// Management prefixes.
    pub management: Vec<IpNet>,
    /// Allow and block lists.
    pub lists: Arc<Lists>,
    /// This host's own addresses at the time of planning.
    pub local: Vec<IpAddr>,
    /// Broadcast addresses of its networks.
    pub broadcasts: Vec<Ipv4Addr>,
    /// Table sizes.
    pub tables: Tables,
}
