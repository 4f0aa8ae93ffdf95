//! The world in memory: [`State`] and [`Frame`] for host tests, fuzzing and explanations.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use crate::{
    abi::{Counter, StepDown, TcpReqAttrs},
    arm::Arm,
    ban::{self, Bans},
    bucket::{Line, charge},
    config::{
        Config, Limit, LocalTcp, MAX_SERVICES, Ports, Prefix, Service, Summary, TABLES, flags, syn_mode, tcp,
    },
    cookie::{Keys, Slot},
    cursor::{Cursor, Writer},
    extensions,
    frame::Frame,
    hints::Hints,
    ip_options,
    list::{self, Class, build::Tables},
    options::{self, TcpOptions},
    packet::{Address, Packet},
    quote::{self, Quote},
    rules::{self, Rules},
    stages::{
        limit::{Part, more, take_from},
        proven::{mark_in, marked_in},
    },
    state::{List, Route, SAMPLE, Socket, State, TOTALS, Table, Total},
    word::Word,
};

/// Lines of each table.
pub const LINES: u32 = 1024;

/// Everything that the kernel's maps, clock and socket tables hold.
pub struct World {
    /// Nanoseconds.
    pub clock: Cell<u64>,
    /// The interface's configuration.
    pub config: Config,
    /// Services by port.
    pub ports: Box<Ports>,
    /// Summary of `management`.
    pub summary: Box<Summary>,
    /// The operator's rules.
    pub rules: Box<Rules>,
    /// Prefixes of lists and their words; the last one that holds an address counts, so the longest goes last.
    pub listed: Vec<(List, Prefix, u64)>,
    /// What rules counted.
    pub rule_counters: RefCell<Vec<Counter>>,
    /// Management addresses.
    pub management: HashSet<[u32; 4]>,
    /// Allow and block lists.
    pub lists: Tables,
    /// Ends of bans, by key of the source.
    pub bans: HashMap<u64, u64>,
    /// Banned prefixes with their ends; the longest must come first.
    pub banned: Vec<(Prefix, u64)>,
    /// Own addresses.
    pub local: HashSet<[u32; 4]>,
    /// Broadcast addresses of own networks.
    pub broadcasts: HashSet<[u32; 4]>,
    /// What may be in these two; everything, unless a test wants to know better.
    pub hints: Hints,
    /// Ways back to sources that are not [`Route::Here`].
    pub routes: HashMap<[u32; 4], Route>,
    /// Ports of UDP sockets.
    pub udp_sockets: HashSet<u16>,
    /// Ports that somebody listens on, on any address.
    pub listeners: HashMap<u16, Socket>,
    /// Ports of connections: (source, destination).
    pub connections: HashSet<(u16, u16)>,
    /// Ports of ACKs that carry a SYN cookie of the stack: (source, destination).
    pub stack_cookies: HashSet<(u16, u16)>,
    /// What services have armed.
    pub arms: Vec<Arm>,
    /// Packets until the next one is looked up; 0 means that all are.
    pub until_sample: Cell<u64>,
    /// Cookie secrets.
    pub keys: Keys,
    /// Ports stepped down.
    pub stepped_down: RefCell<HashMap<u16, StepDown>>,
    tables: [Vec<Line>; TABLES],
    totals: [Word; TOTALS],
    rule_buckets: Vec<Word>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A host with an MTU of 1500, all TCP options on, no services, at second 1000 of its clock.
    #[must_use]
    pub fn new() -> Self {
        let table = || (0..LINES).map(|_| Line::default()).collect();
        let hints = Hints::default();
        hints.fill();
        let tcp = LocalTcp {
            mss_v4: 1460,
            mss_v6: 1440,
            window: 65535,
            flags: tcp::TIMESTAMPS | tcp::SACK | tcp::WINDOW_SCALING | tcp::ECN,
            window_scale: 7,
            ttl: 64,
            reserved: [0; 6],
        };
        Self {
            clock: Cell::new(1_000_000_000_000),
            config: Config {
                seed: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
                lines: [LINES; TABLES],
                flags: flags::COOKIES,
                tcp,
                ..Config::EMPTY
            },
            ports: Box::new(Ports::EMPTY),
            summary: Box::new(Summary::EMPTY),
            rules: Box::new(Rules::EMPTY),
            listed: Vec::new(),
            rule_counters: RefCell::new(vec![Counter::default(); rules::COUNTERS as usize]),
            management: HashSet::new(),
            lists: Tables::new(&[], &[]),
            bans: HashMap::new(),
            banned: Vec::new(),
            local: HashSet::new(),
            broadcasts: HashSet::new(),
            hints,
            routes: HashMap::new(),
            udp_sockets: HashSet::new(),
            listeners: HashMap::new(),
            connections: HashSet::new(),
            stack_cookies: HashSet::new(),
            arms: (0..MAX_SERVICES).map(|_| Arm::default()).collect(),
            until_sample: Cell::new(SAMPLE),
            keys: Keys::default(),
            stepped_down: RefCell::default(),
            tables: std::array::from_fn(|_| table()),
            totals: std::array::from_fn(|_| Word::new(0)),
            rule_buckets: (0..rules::MAX_RULES).map(|_| Word::new(0)).collect(),
        }
    }

    /// Adds a service in cookie mode with a listener on TCP `port`, and a key that is valid for 64 s.
    pub fn serve(&mut self, port: u16, local: Address) {
        self.ports.tcp[port as usize] = 1;
        self.config.services[1] = Service { syn_mode: syn_mode::COOKIE, ..Service::NONE };
        self.listeners.insert(port, Socket::Listener);
        self.local.insert(local.0);
        let now = self.clock.get();
        let slot =
            Slot { mac: [5, 6], issue_until: now + 64_000_000_000, accept_until: now + 128_000_000_000 };
        self.keys.slots[0] = slot;
    }

    /// Lets time pass.
    pub fn advance(&self, nanoseconds: u64) {
        self.clock.set(self.clock.get() + nanoseconds);
    }

    /// Puts an address on the management list.
    pub fn manage(&mut self, address: Address) {
        self.management.insert(address.0);
        self.config.management_families = 3;
        // Tests of the summary itself are user space's; here every bit is set.
        self.summary.v4.fill(u64::MAX);
        self.summary.v6.fill(u64::MAX);
    }
}

impl State for World {
    fn now(&self) -> u64 {
        self.clock.get()
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn is_management(&self, source: &Address) -> bool {
        self.management.contains(&source.0)
    }

    fn class(&self, packet: &Packet) -> Class {
        list::class_of(packet, &self.lists)
    }

    fn may_be_banned(&self, packet: &Packet) -> bool {
        ban::may_be_banned(&packet.source, packet.is_v6, self)
    }

    fn is_banned(&self, packet: &Packet) -> bool {
        ban::is_banned(&packet.source, packet.is_v6, self)
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn listed(&self, list: List, address: &Address) -> Option<u64> {
        let holds = |(of, prefix, _): &&(List, Prefix, u64)| *of == list && prefix.contains(address);
        self.listed.iter().rfind(holds).map(|(_, _, word)| *word)
    }

    fn take_of_rule(&self, rule: u32, limit: Limit, now: u64) -> bool {
        charge(&self.rule_buckets[rule as usize], limit, now)
    }

    fn count_rule(&self, index: u32, bytes: u64) {
        let counter = &mut self.rule_counters.borrow_mut()[index as usize];
        counter.packets += 1;
        counter.bytes += bytes;
    }

    fn is_local(&self, address: &Address) -> bool {
        self.local.contains(&address.0)
    }

    fn is_broadcast(&self, address: &Address) -> bool {
        self.broadcasts.contains(&address.0)
    }

    fn hints(&self) -> Option<&Hints> {
        Some(&self.hints)
    }

    fn route_back(&self, packet: &Packet) -> Route {
        self.routes.get(&packet.source.0).copied().unwrap_or(Route::Here)
    }

    fn has_udp_socket(&self, packet: &Packet) -> bool {
        self.udp_sockets.contains(&packet.ports.destination)
    }

    fn socket(&self, packet: &Packet) -> Socket {
        let ports = packet.ports;
        if self.connections.contains(&(ports.source, ports.destination)) {
            return Socket::Connection;
        }
        if self.stack_cookies.contains(&(ports.source, ports.destination)) && packet.tcp.is_ack() {
            return Socket::StackCookie;
        }
        self.listeners.get(&ports.destination).copied().unwrap_or(Socket::None)
    }

    fn is_connected(&self, _packet: &Packet, quote: &Quote) -> bool {
        self.connections.contains(&(quote.remote_port, quote.local_port))
    }

    fn line(&self, table: Table, index: u32) -> Option<&Line> {
        self.tables[table as usize].get(index as usize)
    }

    fn limits(&self, part: Part, packet: &Packet, service: u32) -> u32 {
        more(part, packet, service, self)
    }

    fn take(&self, words: [u64; 2], limit: Limit, now: u64) -> bool {
        take_from(self, words, limit, now)
    }

    fn marked(&self, table: Table, hash: u64, now: u64) -> u64 {
        marked_in(self, table, hash, now)
    }

    fn mark(&self, table: Table, hash: u64, until: u64) {
        mark_in(self, table, hash, until);
    }

    fn arm(&self, service: u32) -> Option<&Arm> {
        self.arms.get(service as usize)
    }

    fn sampled(&self) -> bool {
        let left = self.until_sample.get().saturating_sub(1);
        self.until_sample.set(if left == 0 { SAMPLE } else { left });
        left == 0
    }

    fn is_unsampled(&self) -> bool {
        let left = self.until_sample.get();
        if left > 1 {
            self.until_sample.set(left - 1);
        }
        left > 1
    }

    fn take_total(&self, total: Total, limit: Limit, now: u64) -> bool {
        charge(&self.totals[total as usize], limit, now)
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn is_stepped_down(&self, port: u16) -> bool {
        self.stepped_down.borrow().get(&port) == Some(&StepDown::Refused)
    }

    fn step_down(&self, port: u16, why: StepDown) {
        self.stepped_down.borrow_mut().insert(port, why);
    }
}

impl Bans for World {
    fn gate(&self) -> u64 {
        let sources = if self.bans.is_empty() { 0 } else { 3 };
        sources | if self.banned.is_empty() { 0 } else { 12 }
    }

    fn may_hold(&self, _key: u64) -> bool {
        true
    }

    fn source(&self, key: u64) -> Option<u64> {
        self.bans.get(&key).copied()
    }

    fn prefix(&self, address: &Address) -> Option<u64> {
        self.banned.iter().find(|(prefix, _)| prefix.contains(address)).map(|(_, until)| *until)
    }

    fn now(&self) -> u64 {
        self.clock.get()
    }
}

/// A frame in a `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
    /// What was handed over to tc, if anything.
    pub handed_over: Option<TcpReqAttrs>,
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, handed_over: None }
    }
}

impl Frame for Bytes {
    fn cursor(&self) -> Cursor<'_> {
        Cursor::new(&self.bytes)
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.bytes)
    }

    fn length(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn ipv4_options(&self, offset: u16, length: u16) -> u32 {
        ip_options::read(self.cursor().at(offset), length)
    }

    fn quote(&self, packet: &Packet) -> Quote {
        quote::read(self.cursor(), packet)
    }

    fn options(&self, packet: &Packet) -> TcpOptions {
        options::parse(self.cursor().at(packet.l4 + 20), packet.tcp.option_words as u16 * 4)
    }

    fn extensions(&self, offset: u16, next: u8, payload: u16) -> u64 {
        extensions::walk(self.cursor().at(offset), next, payload)
    }

    fn resize(&mut self, cut: u16, length: u16) -> bool {
        self.bytes.drain(..cut as usize);
        self.bytes.truncate(length as usize);
        self.bytes.len() == length as usize
    }

    fn hand_over(&mut self, attrs: &TcpReqAttrs) {
        self.handed_over = Some(*attrs);
    }
}
