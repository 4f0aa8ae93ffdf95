//! The file's tables and knobs: name, help, bounds and default of each, declared here and nowhere else.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use filter_common::{abi::MAX_INTERFACES, config::Profile};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    profile::{self, Preset},
    rule::{section, switch, switch_on, table, tables},
    value::{
        Between, ByteRate, Origin, PortRange, Probe, Protocol, Rate, TcpFlags, argument, between, byte_rate,
        choice, duration, header, interface_name, ip_protocol, listen, log_filter, name, number, origin,
        path, port_range, power_of_two, prefix, probe, protocol, rate, tcp_flags,
    },
};
use crate::{
    daemon::notify::Event,
    dataplane::plan::{Attach, Ingress},
    feed::format::{FORMATS, Format},
};

/// Where links and maps are pinned unless told otherwise.
pub const PINS: &str = "/sys/fs/bpf/floodwall";
/// Where the lock file and the control socket live unless told otherwise.
pub const RUNTIME: &str = "/run/floodwall";
/// Where what outlives the daemon is kept unless told otherwise.
pub const STATE: &str = "/var/lib/floodwall";
/// Interfaces that can be counted apart.
pub const INTERFACES: usize = MAX_INTERFACES as usize;

/// Whether verdicts are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count what would happen; pass everything.
    Observe,
    /// Drop and answer.
    Enforce,
}

impl Mode {
    /// The name in the file and in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// How an accepted ACK reaches tc ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// In XDP metadata.
    Auto,
    /// tc ingress checks the cookie again.
    Decode,
}

/// What answers a service's SYNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynMode {
    /// The stack.
    Off,
    /// The stack, up to a rate.
    Limit,
    /// RST challenges.
    Challenge,
    /// SYN cookies.
    Cookie,
    /// The stack up to a rate; above it the best there is.
    Auto,
}

/// What becomes of a SYN with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynData {
    /// Like any other SYN.
    Pass,
    /// Dropped.
    Drop,
}

/// What becomes of UDP from a reflector's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    /// Like any other UDP.
    Off,
    /// Replies to own datagrams pass.
    Match,
    /// Dropped, replies too.
    Drop,
}

/// What becomes of packets to a network's broadcast address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// Dropped where the interface faces the Internet.
    Auto,
    /// Dropped.
    Drop,
    /// Passed.
    Pass,
}

/// What becomes of packets with one of this host's addresses as source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSources {
    /// Dropped.
    Drop,
    /// Passed.
    Pass,
}

/// Whether a route has to lead back to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// No.
    Off,
    /// Through any interface.
    Loose,
    /// Through the one that it came in by.
    Strict,
}

/// What becomes of packets that leave with a source that can't be this host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Nobody looks.
    Off,
    /// They are counted.
    Monitor,
    /// They are dropped.
    Drop,
}

/// Which segments are looked up in the socket table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strays {
    /// None but those of cookie services.
    Off,
    /// Those to services.
    Services,
    /// All.
    Host,
}

/// What becomes of packets of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOrDrop {
    /// They go on.
    Pass,
    /// They end.
    Drop,
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// They go on.
    Pass,
    /// They go on up to a rate.
    Rate,
    /// They end.
    Drop,
}

/// What becomes of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// They go on.
    Pass,
    /// They go on up to a rate.
    Limit,
    /// They end.
    Drop,
}

/// What is kept of sources' addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// Their /24 or /48.
    #[default]
    Truncated,
    /// All of them.
    Full,
    /// A keyed hash.
    Pseudonym,
}

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// An HTTP request of ours.
    Webhook,
    /// An HTTP request of Alertmanager's.
    Alertmanager,
    /// A message with fields to systemd's journal.
    Journal,
    /// A line to the host's syslog.
    Syslog,
    /// A program's standard input.
    Command,
}

/// Their names in the file.
pub const VIAS: &[(&str, Via)] = &[
    ("webhook", Via::Webhook),
    ("alertmanager", Via::Alertmanager),
    ("journal", Via::Journal),
    ("syslog", Via::Syslog),
    ("command", Via::Command),
];

impl Via {
    /// The name in the file.
    #[must_use]
    pub fn label(self) -> &'static str {
        VIAS.iter().find(|(_, via)| *via == self).map_or("", |(label, _)| label)
    }
}

/// What becomes of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// Nobody looks.
    Off,
    /// They are found and told.
    Observe,
    /// Something is done as well.
    Act,
}

section! {
    /// The whole file.
    Settings {
        /// Version of the file's form.
        schema: Spanned<u32> = number(1..=1);
        /// The process.
        daemon: Daemon = table::<Daemon>();
        /// Sources that nothing may lock out.
        management: Management = table::<Management>();
        /// Applying a configuration from afar.
        commit: Commit = table::<Commit>();
        /// Sources that always pass, and such that never do.
        lists: Lists = table::<Lists>();
        /// Block lists that somebody else keeps; at most 32.
        feed: Vec<Feed> = tables::<Feed>();
        /// An interface to protect; at least one, at most 16.
        interface: Vec<Interface> = tables::<Interface>();
        /// What this host serves, and how it is protected; at most 63.
        service: Vec<Service> = profile::services();
        /// What the operator decides about packets by their headers, before any service does; in this order, at most 64. See
        /// [how rules work](#how-rules-work).
        rule: Vec<Rule> = tables::<Rule>();
        /// Limits beside those of services.
        host: HostLimits = table::<HostLimits>();
        /// SYN cookies.
        cookie: Cookie = table::<Cookie>();
        /// Challenges.
        challenge: Challenge = table::<Challenge>();
        /// Segments of no connection.
        stray: Stray = table::<Stray>();
        /// UDP.
        udp: Udp = table::<Udp>();
        /// Forged sources.
        spoofing: Spoofing = table::<Spoofing>();
        /// IP headers.
        ip: Ip = table::<Ip>();
        /// Fragments.
        fragments: FragmentPolicy = table::<FragmentPolicy>();
        /// ICMP and ICMPv6.
        icmp: Icmp = table::<Icmp>();
        /// Protocols other than TCP, UDP and ICMP.
        protocols: Protocols = table::<Protocols>();
        /// Bans.
        ban: Ban = table::<Ban>();
        /// Table sizes.
        limits: Limits = table::<Limits>();
        /// Sampled packets: what the detector looks at.
        events: Events = table::<Events>();
        /// The detector of attacks.
        detect: Detect = table::<Detect>();
        /// Who is told of attacks; at most 16.
        notify: Vec<Notify> = tables::<Notify>();
        /// What is kept of attacks, and for how long.
        privacy: Privacy = table::<Privacy>();
        /// Prometheus metrics.
        metrics: Metrics = table::<Metrics>();
    }
}

section! {
    /// `[daemon]`
    Daemon {
        /// `observe` counts what would happen and passes everything; `enforce` does it.
        mode: Spanned<Mode> =
            choice(&[("observe", Mode::Observe), ("enforce", Mode::Enforce)]).or("observe");
        /// Folder under bpffs for links and maps. They outlive the daemon.
        pins: Spanned<PathBuf> = path().or(PINS);
        /// Folder for the lock file and the control socket.
        runtime: Spanned<PathBuf> = path().or(RUNTIME);
        /// Folder for what outlives the daemon and the next boot: revisions of the configuration, an apply that waits to be
        /// confirmed, a bypass. Root's own, mode 0700.
        state: Spanned<PathBuf> = path().or(STATE);
        /// Group whose members may connect to the control socket and look; a name or a number. Without it that is root's, and the
        /// daemon's own user's, alone.
        group: Option<Spanned<String>> = name().optional("none");
        /// Group whose members may change things by the control socket. Where `group` is set as well, they have to be in that one, too:
        /// the socket has only one group.
        admin_group: Option<Spanned<String>> = name().optional("none");
        /// What to log, to stderr.
        log: Spanned<String> = log_filter().or("info");
    }
}

section! {
    /// `[management]`
    Management {
        /// Sources whose packets always pass: put the addresses here that you log in from.
        allow: Vec<Spanned<IpNet>> = prefix().list();
        /// `true`: this host's gateways and resolvers, its BGP peers and the SSH connection of whoever calls are found
        /// automatically. `apply` refuses what would drop their packets, and `ban add` refuses to ban them (but for BGP peers). They pass the filter only
        /// as far as it lets them: what anybody can forge is never allowed by itself; see [SECURITY](../SECURITY.md).
        auto: bool = switch_on();
        /// Local ports that this host is managed through, as `"tcp/22"`. None: tcp/22.
        ports: Vec<Spanned<PortRange>> = port_range().list();
    }
}

section! {
    /// `[commit]`: how an `apply` that may have cut the operator off is taken back
    Commit {
        /// How long `floodwall apply --confirm` waits for `floodwall confirm` unless told otherwise; then it goes back.
        confirm: Spanned<Duration> = duration(10..=86400).or("5m");
        /// What has to work through the filter, as `"tcp://192.31.196.9:443"`: tried before an apply with `--confirm` and while it
        /// waits. What worked before and fails twice after takes the apply back at once. At most 16.
        probes: Vec<Spanned<Probe>> = probe().list();
    }
}

section! {
    /// `[lists]`: read at start and on SIGHUP, swapped in at once. Where both lists hold a source, it is allowed;
    /// `management.allow` comes before both. Together they hold up to 1,048,576 IPv4 and 262,144 IPv6 prefixes.
    Lists {
        /// Sources that pass whatever else is said: no later check, no limit, no ban. Anybody can forge them, so list as few as you need.
        allow: Vec<Spanned<IpNet>> = prefix().list();
        /// Sources whose packets are dropped.
        block: Vec<Spanned<IpNet>> = prefix().list();
        /// Files with more of them: an address or a prefix a line, `#` and `;` begin comments; at most 256 MiB each.
        allow_files: Vec<Spanned<PathBuf>> = path().list();
        /// The same for the block list.
        block_files: Vec<Spanned<PathBuf>> = path().list();
    }
}

section! {
    /// `[[feed]]`: fetched by the daemon again and again, and swapped in at once, together with `[lists]`, whose bounds hold for all
    /// of them. A feed never blocks what `management.allow` or `lists.allow` hold, own addresses and the networks that they are in, `service.protect`,
    /// gateways and resolvers (`management.auto`), and addresses that are not public. What is refused leaves the last good copy in force,
    /// which is kept in `daemon.state` as well.
    Feed {
        /// Its name in metrics and messages; unique.
        name: Spanned<String> = name();
        /// Where it is. Over `http://` whoever is on the way can change it. A URL's query is left out of logs.
        source: Spanned<Origin> = origin();
        /// How it is written: `plain` (an address or a prefix a line, `#` and `;` begin comments: FireHOL, Team Cymru), `spamhaus` (JSON
        /// lines), `ipset` (`ipset save`), `nft` (`nft -j list set`), `cscli` (CSV), `crowdsec` (the local API; its
        /// `/v1/decisions/stream?startup=true`). `auto` tells by the first bytes.
        format: Spanned<Format> = choice(FORMATS).or("auto");
        /// `false`: neither fetched nor in force.
        enabled: bool = switch_on();
        /// How often it is asked for, give or take a tenth. What has not changed is not sent again (`ETag`, `Last-Modified`). After a failure it
        /// is asked for sooner, at first after half a minute.
        interval: Spanned<Duration> = duration(10..=604_800).or("1h");
        /// How long one fetch may take in all.
        timeout: Spanned<Duration> = duration(1..=600).or("60s");
        /// It is stale when nothing good was heard from its source for so long: said in the log, in `feed_stale` and `feed list`. It stays in
        /// force.
        stale_after: Spanned<Duration> = duration(60..=7_776_000).or("48h");
        /// Largest size, in bytes.
        max_bytes: Spanned<u32> = number(1024..=268_435_456).or("67108864");
        /// Most entries.
        max_entries: Spanned<u32> = number(1..=1_048_576).or("500000");
        /// Shortest IPv4 prefixes; shorter ones are left out.
        min_prefix_v4: Spanned<u32> = number(1..=32).or("8");
        /// Shortest IPv6 prefixes; shorter ones are left out.
        min_prefix_v6: Spanned<u32> = number(1..=128).or("20");
        /// Percent of its entries that it may lose from one copy to the next; more is refused (`floodwall feed update NAME --force` takes
        /// it).
        max_shrink: Spanned<u32> = number(0..=100).or("50");
        /// Percent of the public IPv4, or IPv6, addresses that it may hold; more is refused.
        max_cover: Spanned<u32> = number(1..=100).or("10");
        /// A file with a secret that is sent in `header`; root's own, mode 0600. No redirect is followed with it.
        key_file: Option<Spanned<PathBuf>> = path().optional("none");
        /// The header that the secret is sent in.
        header: Spanned<String> = header().or("X-Api-Key");
        /// Certificates (PEM) to trust in the place of the host's, for a server with a certificate of its own.
        ca_file: Option<Spanned<PathBuf>> = path().optional("the host's");
    }
}

section! {
    /// `[[interface]]`
    Interface {
        /// Its name, as `ip link` shows it. One that is not there is attached when it appears; at least one has to be there. A VLAN device
        /// stands for the device below it (XDP sees all its VLANs), a bond for all of its devices.
        name: Spanned<String> = interface_name();
        /// Native XDP runs in the driver; generic XDP works everywhere and is slower. `auto` prefers native.
        mode: Spanned<Attach> = choice(&[
            ("auto", Attach::Auto),
            ("native", Attach::Native),
            ("generic", Attach::Generic),
        ])
        .or("auto");
        /// What kind of network it faces. Private sources are normal in `lan` and `cloud`, and the metadata
        /// service's 169.254.169.0/24 in `cloud`.
        profile: Spanned<Profile> = choice(&[
            ("internet", Profile::Internet),
            ("lan", Profile::Lan),
            ("cloud", Profile::Cloud),
        ])
        .or("internet");
        /// Drops sources that no route leads back to (`loose`), or none out of this interface (`strict`; not where routes are
        /// asymmetric). The kernel looks routes up for XDP only where it forwards: without
        /// `net.ipv4.conf.IFACE.forwarding` it doesn't, and `net.ipv4.conf.IFACE.rp_filter` does the same.
        reverse_path: Spanned<ReversePath> = choice(&[
            ("off", ReversePath::Off),
            ("loose", ReversePath::Loose),
            ("strict", ReversePath::Strict),
        ])
        .or("off");
        /// How the tc programs are attached: TCX (Linux 6.6) or clsact filters.
        tc: Spanned<Ingress> = choice(&[
            ("auto", Ingress::Auto),
            ("tcx", Ingress::Tcx),
            ("clsact", Ingress::Clsact),
        ])
        .or("auto");
        /// `auto` hands an accepted ACK to tc ingress in XDP metadata; `decode` checks its cookie there again,
        /// for drivers without metadata.
        handover: Spanned<HandOver> =
            choice(&[("auto", HandOver::Auto), ("decode", HandOver::Decode)]).or("auto");
        /// Where another XDP program is pinned that goes on with the packets that pass, instead of the stack; see [another XDP program
        /// behind this one](#another-xdp-program-behind-this-one).
        next: Option<Spanned<PathBuf>> = path().optional("none");
        /// `true`: on this interface count what would happen, pass everything and answer nothing, whatever `daemon.mode` says.
        observe: bool = switch();
    }
}

section! {
    /// `[[service]]`
    Service {
        /// Its name in metrics and messages; unique.
        name: Spanned<String> = name();
        /// A preset for everything that is not written here; see [profiles](#profiles).
        profile: Option<Spanned<Preset>> = choice(profile::PRESETS).optional("none");
        /// Destination prefixes; none: any. Of two services with the same port the first in the file whose `dst` holds the
        /// destination gets the packet, so narrow ones go first.
        dst: Vec<Spanned<IpNet>> = prefix().or_more();
        /// Destination ports. A port belongs to one service, unless `dst` tells them apart.
        ports: Vec<Spanned<PortRange>> = port_range().list();
        /// Prefixes behind this host (a gateway) whose SYNs to these ports are challenged whenever `syn.mode` answers; at most
        /// 8 in all.
        protect: Vec<Spanned<IpNet>> = prefix().list();
        /// GTSM (RFC 5082): how many hops away its peers may be, 1 for neighbours only (BGP on one link). 0: anywhere.
        ttl_security: Spanned<u32> = number(0..=254).or("0");
        /// SYN-flood defence.
        syn: Syn = table::<Syn>();
        /// Limits. A source is an IPv4 address or an IPv6 /64.
        rate: Rates = table::<Rates>();
        /// `true`: count what would happen to its packets, pass them all, and answer none.
        observe: bool = switch();
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ends the packet's way: it passes.
    Pass,
    /// Ends the packet's way.
    Drop,
    /// Drops what is over a rate.
    Limit,
    /// Challenges SYNs.
    Challenge,
    /// Counts.
    Count,
}

impl Action {
    /// The name in the file.
    #[must_use]
    pub fn label(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

const ACTIONS: &[(&str, Action)] = &[
    ("pass", Action::Pass),
    ("drop", Action::Drop),
    ("limit", Action::Limit),
    ("challenge", Action::Challenge),
    ("count", Action::Count),
];

/// Whose a rule's rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each source's.
    Source,
    /// All sources' together.
    Rule,
}

/// Which fragments a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentKind {
    /// Packets that are none.
    No,
    /// First ones.
    First,
    /// All but the first.
    Later,
    /// All, and packets that are none.
    Any,
}

section! {
    /// `[[rule]]`
    Rule {
        /// Its name in metrics and messages; unique.
        name: Spanned<String> = name();
        /// `drop` and `pass` decide at once; what `pass` passes is seen by no later rule and by no service. `limit` drops what is
        /// over `rate`; the rest goes on. `challenge` has SYNs prove their source, whatever their service's `syn.mode`;
        /// other packets go on. `count` counts, and the packet goes on.
        action: Spanned<Action> = choice(ACTIONS);
        /// Source prefixes.
        src: Vec<Spanned<IpNet>> = prefix().or_more();
        /// Destination prefixes.
        dst: Vec<Spanned<IpNet>> = prefix().or_more();
        /// IP protocols; for IPv6 the first header that is no extension.
        proto: Vec<Spanned<u8>> = ip_protocol().or_more();
        /// Source ports; `proto` has to be TCP or UDP or both.
        sport: Vec<Spanned<Between<u16>>> = between(PORTS, "port", "1024-65535").or_more();
        /// Destination ports; `proto` has to be TCP or UDP or both.
        dport: Vec<Spanned<Between<u16>>> = between(PORTS, "port", "8000-8010").or_more();
        /// TCP flags; `proto` has to be TCP. Flags that are not named may be anything.
        flags: Option<Spanned<TcpFlags>> = tcp_flags().optional("any");
        /// ICMP types; `proto` has to be ICMP or ICMPv6.
        icmp_type: Vec<Spanned<Between<u8>>> = between(BYTE, "ICMP type", "8").or_more();
        /// Bytes of the IP packet, its header included.
        length: Option<Spanned<Between<u16>>> = between(LENGTHS, "length", "0-128").optional("any");
        /// TTL or hop limit.
        ttl: Option<Spanned<Between<u8>>> = between(BYTE, "TTL", "0-5").optional("any");
        /// Only whole packets, first fragments, later ones; or all of them. A later fragment has no ports, no flags and no ICMP type:
        /// a rule that asks for one of these meets later fragments only with `any`, and then whatever theirs are.
        fragment: Option<Spanned<FragmentKind>> = choice(&[
            ("no", FragmentKind::No),
            ("first", FragmentKind::First),
            ("later", FragmentKind::Later),
            ("any", FragmentKind::Any),
        ])
        .optional("all that can be told to match");
        /// Packets that `limit` lets go on.
        rate: Spanned<Option<Rate>> = rate().or("off");
        /// Whether each source (an IPv4 address, an IPv6 /64) gets that rate, or the whole `rule`.
        per: Option<Spanned<Per>> =
            choice(&[("source", Per::Source), ("rule", Per::Rule)]).optional("`\"source\"`");
        /// `true`: a rule on trial. It counts what it would do, and the packet goes on as if it were not there.
        observe: bool = switch();
    }
}

const PORTS: Between<u16> = Between { first: 0, last: u16::MAX };
const LENGTHS: Between<u16> = Between { first: 0, last: u16::MAX };
const BYTE: Between<u8> = Between { first: 0, last: u8::MAX };

section! {
    /// `syn` of a `[[service]]`
    Syn {
        /// `cookie` answers every SYN statelessly and creates the connection when the client's ACK proves its
        /// address (Linux 6.9, `net.ipv4.tcp_syncookies` at least 1); where that can't be, it does as `challenge`.
        /// `challenge` answers with a SYN-ACK that the client resets, remembers who did, and passes their
        /// SYNs: any kernel, also for `protect`. `limit` passes `on` SYNs a second. `auto` passes them all up to `on`
        /// and does as `cookie` above it. `off` leaves SYNs to the stack.
        mode: Spanned<SynMode> = choice(&[
            ("off", SynMode::Off),
            ("limit", SynMode::Limit),
            ("challenge", SynMode::Challenge),
            ("cookie", SynMode::Cookie),
            ("auto", SynMode::Auto),
        ])
        .or("off");
        /// SYNs per second of the whole service that the stack gets: `limit` drops the rest, `auto` arms at the
        /// first one above. A tenth of it may come at once.
        on: Spanned<u32> = number(1..=10_000_000).or("20000");
        /// `auto` stays armed while more SYNs than this arrive within a second.
        off: Spanned<u32> = number(1..=10_000_000).or("5000");
        /// How long `auto` stays armed after that.
        hold: Spanned<Duration> = duration(1..=3600).or("60s");
        /// SYNs with data (TCP Fast Open): `drop` if the service takes none.
        data: Spanned<SynData> = choice(&[("pass", SynData::Pass), ("drop", SynData::Drop)]).or("pass");
    }
}

section! {
    /// `rate` of a `[[service]]`
    Rates {
        /// Packets; with SYNs, unless they have a limit of their own or are answered with a cookie or a challenge.
        per_source: Spanned<Option<Rate>> = rate().or("off");
        /// SYNs. With `syn = cookie` a SYN costs next to nothing, and whoever forges a client's address uses up its
        /// share: leave it off unless that is what you want.
        per_source_syn: Spanned<Option<Rate>> = rate().or("off");
        /// Bytes of IP packets.
        per_source_bytes: Spanned<Option<ByteRate>> = byte_rate().or("off");
        /// New UDP flows: tuples that have sent nothing for two minutes, or only one packet more than two seconds ago.
        per_source_flows: Spanned<Option<Rate>> = rate().or("off");
        /// Packets of each IPv4 /24 or IPv6 /48: for networks whose hosts flood together (carpets, botnets of one
        /// provider).
        per_prefix: Spanned<Option<Rate>> = rate().or("off");
        /// Packets of all sources together, except for those that have answered a challenge, and for SYNs if `syn.mode`
        /// does something about them. A flood of forged sources uses it up, and other clients with it: prefer `flows`.
        total: Spanned<Option<Rate>> = rate().or("off");
        /// As `total`, bytes.
        total_bytes: Spanned<Option<ByteRate>> = byte_rate().or("off");
        /// New UDP flows of all sources together. Flows that go on are not counted: forged sources, which are new with each
        /// packet, are kept out and known clients lose nothing.
        flows: Spanned<Option<Rate>> = rate().or("off");
    }
}

section! {
    /// `[host]`: limits for what is for no service, and for everything
    HostLimits {
        /// Packets to the whole host, services included, except for sources that have answered a challenge, and for SYNs to
        /// services that do something about them. For hosts whose CPU can't take more.
        total: Spanned<Option<Rate>> = rate().or("off");
        /// As `total`, bytes.
        total_bytes: Spanned<Option<ByteRate>> = byte_rate().or("off");
        /// Limits for packets to no service: other ports and protocols.
        rate: Rates = table::<Rates>();
    }
}

section! {
    /// `[cookie]`
    Cookie {
        /// Each epoch has a key of its own, derived from the master secret. This one and the one before are
        /// accepted. A key that nobody renews is refused by the data path itself after 5 periods.
        period: Spanned<Duration> = duration(1..=3600).or("64s");
        /// How long unknown ACKs still pass after the daemon has armed cookies (its start, a reload). The stack's own handshakes and SYN cookies are known
        /// without it; another host's, whose address has moved here, are not.
        grace: Spanned<Duration> = duration(0..=600).or("0s");
        /// Master secret: 32 to 4096 bytes, owned by root, mode 0600. Hosts that share it accept each other's cookies.
        key_file: Option<Spanned<PathBuf>> = path().optional("a random secret at each start");
        /// ACKs for no connection that reach the stack, which resets them: peers of connections that this host has
        /// forgotten (a reboot, a moved address) learn of it. `off`: none.
        unknown_ack: Spanned<Option<Rate>> = rate().or("200/s burst 400");
        /// Limits for our answers, so that nobody can use them against a third party.
        syn_ack: SynAck = table::<SynAck>();
    }
}

section! {
    /// `[challenge]`
    Challenge {
        /// How long a source (an IPv4 address, an IPv6 /64) counts as proven after it has answered.
        proven: Spanned<Duration> = duration(10..=86400).or("10m");
        /// SYNs of a proven source that reach each service: it is real, and may be an attacker's. Whoever forges its address
        /// can use its share up, so keep it well above what one address (a proxy, a NAT) needs. All proven sources
        /// together get `syn.on` of the service.
        per_source_syn: Spanned<Option<Rate>> = rate().or("1000/s burst 2000");
        /// Segments of unproven sources, all together, that are forwarded to a service's `protect` while its SYNs are
        /// challenged: older connections are among them, so keep it above their usual traffic.
        unproven: Spanned<Option<Rate>> = rate().or("200000/s burst 200000");
    }
}

section! {
    /// `[stray]`: TCP segments (ACK, data, FIN, RST, SYN-ACK) that belong to no connection of this host
    Stray {
        /// Where they are looked for and dropped. Connections that this host forwards after a translation of addresses
        /// (DNAT, masquerading, published container ports, IPVS) have no socket here: `services` leaves all ports alone
        /// that are no service's, and a service of which no segment ever had a socket. Sockets that are bound to a device above
        /// the interface (a bond, a bridge, a VLAN, a VRF) are not seen: choose `off` for such hosts.
        scope: Spanned<Strays> = choice(&[
            ("services", Strays::Services),
            ("host", Strays::Host),
            ("off", Strays::Off),
        ])
        .or("services");
        /// Strays per second, estimated from every 64th segment, above which each segment is looked up and strays are
        /// dropped.
        on: Spanned<u32> = number(100..=10_000_000).or("2000");
        /// It stays so while more than this arrive within a second.
        off: Spanned<u32> = number(10..=10_000_000).or("500");
        /// How long it stays so after that.
        hold: Spanned<Duration> = duration(1..=3600).or("30s");
    }
}

section! {
    /// `[udp]`
    Udp {
        /// What comes from the port of a service that reflects and amplifies (DNS, NTP, memcached and 30 more, see the
        /// README): `match` passes replies to what this host, or one behind it, has sent a moment ago, and drops the rest;
        /// tc egress notes what is sent, so queries that leave through an interface without Floodwall are not known.
        /// `drop` drops replies, too. Between peers that both use a service's own port (NTP, SIP), what asks passes.
        reflection: Spanned<Reflection> = choice(&[
            ("match", Reflection::Match),
            ("drop", Reflection::Drop),
            ("off", Reflection::Off),
        ])
        .or("match");
        /// Source ports that are no reflectors here.
        reflection_except: Vec<Spanned<PortRange>> = port_range().list();
        /// How long a reply may take.
        reply_window: Spanned<Duration> = duration(1..=600).or("30s");
        /// Datagrams to ports of this host without a socket, all together: the stack answers each with an ICMP error.
        /// Published container ports have no socket here either, until they have answered. As many datagrams reach services from
        /// reflectors' ports above 1023, which a NAT may have given to a client.
        closed: Spanned<Option<Rate>> = rate().or("1000/s burst 1000");
    }
}

section! {
    /// `[spoofing]`
    Spoofing {
        /// Packets from outside with an address of this host, or of `own`, as their source.
        own_sources: Spanned<OwnSources> =
            choice(&[("drop", OwnSources::Drop), ("pass", OwnSources::Pass)]).or("drop");
        /// Networks behind this host: never a source outside, always one of what leaves. At most 16.
        own: Vec<Spanned<IpNet>> = prefix().list();
        /// Packets to the broadcast address of one of this host's networks (Smurf, RFC 2644). `auto` drops them where
        /// the interface's profile is `internet`.
        directed_broadcast: Spanned<Broadcast> = choice(&[
            ("auto", Broadcast::Auto),
            ("drop", Broadcast::Drop),
            ("pass", Broadcast::Pass),
        ])
        .or("auto");
        /// What leaves with a source that is neither this host's nor in `own` or a service's `protect` (BCP 38):
        /// `monitor` counts it, `drop` stops it. A router, or a host with containers whose addresses are not
        /// translated, needs its networks in `own` before it drops.
        egress: Spanned<Egress> = choice(&[
            ("off", Egress::Off),
            ("monitor", Egress::Monitor),
            ("drop", Egress::Drop),
        ])
        .or("monitor");
    }
}

section! {
    /// `syn_ack` of `[cookie]`
    SynAck {
        /// SYN-ACKs to one source prefix (IPv4 /24, IPv6 /48). A flood that forges that very prefix can use them up, so
        /// keep it well above the new connections that one prefix (a CDN, a NAT) makes.
        per_prefix: Spanned<Option<Rate>> = rate().or("20000/s burst 40000");
        /// SYN-ACKs in total.
        total: Spanned<Option<Rate>> = rate().or("10000000/s");
    }
}

section! {
    /// `[ip]`
    Ip {
        /// IPv4 options (record route, timestamps, router alert ...) in packets from further away than the link. Real traffic
        /// has none, and they take the slow path of every stack. Source routes (LSRR, SSRR) are dropped in any case (RFC 7126).
        options: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
        /// IPv6 routing headers with segments left: hosts that take part in segment routing or Mobile IPv6 need them. Type 0 is
        /// dropped in any case (RFC 5095).
        routing: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
        /// IPv6 extension headers that are not walked: Mobility (135), HIP (139), Shim6 (140), experiments (253, 254), no next
        /// header (59). Those in `protocols.allow` pass all the same.
        headers: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
    }
}

section! {
    /// `[fragments]`
    FragmentPolicy {
        /// Fragments that contradict nothing. Large DNS answers and many VPNs need them; `rate` passes them up to both limits
        /// below, `drop` none. Later fragments have no ports: no service's policy applies to them.
        policy: Spanned<Fragments> = choice(&[
            ("pass", Fragments::Pass),
            ("rate", Fragments::Rate),
            ("drop", Fragments::Drop),
        ])
        .or("rate");
        /// Fragments of all sources together; sources that have answered a challenge pass beyond it. It spares the CPU: the stack's
        /// memory for datagrams that never become whole (`net.ipv4.ipfrag_high_thresh`) is filled by far fewer.
        total: Spanned<Option<Rate>> = rate().or("20000/s burst 20000");
        /// Fragments of each source: an IPv4 address or an IPv6 /64.
        per_source: Spanned<Option<Rate>> = rate().or("5000/s burst 10000");
    }
}

section! {
    /// `[icmp]`: neighbour discovery and what else the link needs always passes
    Icmp {
        /// Errors (unreachable, packet too big, time exceeded, parameter problem) about packets of the receiver, of all sources
        /// together. Beyond it pass those about connected sockets of this host: path-MTU discovery goes on under a flood.
        errors: Spanned<Option<Rate>> = rate().or("1000/s burst 1000");
        /// The latter, for each source.
        errors_per_source: Spanned<Option<Rate>> = rate().or("100/s burst 200");
        /// Pings (echo requests). `limit` passes them up to both limits below. Those to a multicast or broadcast address are
        /// dropped in any case.
        echo: Spanned<Echo> =
            choice(&[("pass", Echo::Pass), ("limit", Echo::Limit), ("drop", Echo::Drop)]).or("limit");
        /// Pings of each source.
        echo_per_source: Spanned<Option<Rate>> = rate().or("20/s burst 100");
        /// Pings of all sources together; sources that have answered a challenge pass beyond it.
        echo_total: Spanned<Option<Rate>> = rate().or("10000/s burst 10000");
        /// Replies to pings that this host, or one behind it, has not sent within `udp.reply_window` (with `udp.reflection = "drop"` all
        /// replies), of all sources together.
        echo_replies: Spanned<Option<Rate>> = rate().or("2000/s burst 2000");
        /// Redirects. A host with one router needs none, and whoever forges one diverts its traffic.
        redirect: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("drop");
    }
}

section! {
    /// `[protocols]`
    Protocols {
        /// Protocols that pass, whatever the other two knobs say. ICMP, TCP and UDP have rules of their own.
        allow: Vec<Spanned<u8>> = protocol().list();
        /// All others.
        other: Spanned<PassOrDrop> =
            choice(&[("pass", PassOrDrop::Pass), ("drop", PassOrDrop::Drop)]).or("pass");
        /// Packets of all others together, where they pass.
        rate: Spanned<Option<Rate>> = rate().or("off");
    }
}

section! {
    /// `[ban]`: bans made by `floodwall ban` and by the detector. They are in force at once, end by themselves even without a daemon, and
    /// are kept in `daemon.state` for the next boot.
    Ban {
        /// How long a ban lasts unless somebody says otherwise.
        ttl: Spanned<Duration> = duration(1..=31_536_000).or("1h");
        /// The longest that a ban gets by repetition.
        ttl_max: Spanned<Duration> = duration(1..=31_536_000).or("7d");
        /// `true`: who is banned again is banned for twice as long as the last time, unless a time is given.
        escalate: bool = switch_on();
        /// Each such time without a ban takes one doubling back.
        decay: Spanned<Duration> = duration(60..=31_536_000).or("1d");
        /// Sources that are never banned, nor blocked by a feed. They are judged like any others: whoever should pass in any case belongs into `lists.allow`.
        never: Vec<Spanned<IpNet>> = prefix().list();
        /// Shortest IPv4 prefix that is banned.
        min_prefix_v4: Spanned<u32> = number(1..=32).or("8");
        /// Shortest IPv6 prefix that is banned.
        min_prefix_v6: Spanned<u32> = number(1..=64).or("20");
    }
}

section! {
    /// `[limits]`: sizes of fixed tables, in entries. A change empties the table.
    Limits {
        /// Token buckets for sources.
        source_buckets: Spanned<u32> = power_of_two(1024..=67_108_864).or("262144");
        /// Token buckets for prefixes that get SYN-ACKs; prefixes share them by hash. More than fit into the CPU's cache
        /// make every answer slower.
        reply_buckets: Spanned<u32> = power_of_two(1024..=16_777_216).or("4096");
        /// Handshakes of the last moment.
        recent: Spanned<u32> = power_of_two(1024..=16_777_216).or("65536");
        /// Sources that have answered a challenge.
        proven: Spanned<u32> = power_of_two(1024..=67_108_864).or("262144");
        /// UDP tuples that this host awaits replies for.
        queries: Spanned<u32> = power_of_two(1024..=67_108_864).or("262144");
        /// UDP flows that come in, for `rate.flows` and `rate.per_source_flows`.
        flows: Spanned<u32> = power_of_two(1024..=67_108_864).or("262144");
        /// This host's own addresses and its networks' broadcast addresses.
        local_addresses: Spanned<u32> = number(16..=65536).or("1024");
        /// Management prefixes.
        management_prefixes: Spanned<u32> = number(16..=65536).or("1024");
        /// Banned IPv4 addresses and IPv6 /64s. Each takes 130 bytes from the start on: none fails for want of memory. Bans live on in a
        /// table of another size, as many as fit.
        bans: Spanned<u32> = number(1024..=1_048_576).or("65536");
        /// Banned prefixes of other lengths; their memory is taken when they are made.
        banned_prefixes: Spanned<u32> = number(16..=65536).or("16384");
    }
}

section! {
    /// `[events]`: needs Linux 5.18
    Events {
        /// `false`: no packet is sampled, which costs nothing at all; there is no detector then.
        enabled: bool = switch_on();
        /// One packet in so many of each reason is sampled, on each CPU.
        sample: Spanned<u32> = power_of_two(1..=65_536).or("16");
        /// Samples a second of all CPUs together, each of which has an equal part. Above it fewer packets are sampled, and each sample
        /// stands for more of them.
        budget: Spanned<u32> = number(1000..=1_000_000).or("20000");
    }
}

section! {
    /// `[detect]`: finds floods of each service by what nobody honest explains: SYNs whose handshake nobody completes, segments of no
    /// connection, answers that nobody asked for; UDP, ICMP, fragments and the rest by what is usual. Nothing is learned from an attack.
    Detect {
        /// `observe` finds attacks and tells; `act` also arms the defences of the service and bans sources that prove themselves heavy,
        /// for as long as the attack lasts; `off` samples nothing.
        mode: Spanned<Detection> = choice(&[
            ("off", Detection::Off),
            ("observe", Detection::Observe),
            ("act", Detection::Act),
        ])
        .or("observe");
        /// Packets per second of a vector and a service that are no attack, whatever is usual.
        floor: Spanned<u32> = number(100..=1_000_000_000).or("1000");
        /// Times the usual load from which on it is an attack.
        factor: Spanned<u32> = number(2..=1000).or("2");
        /// An attack is over when it has been below half the way from the usual load to its threshold for so long.
        hold: Spanned<Duration> = duration(1..=86_400).or("60s");
        /// With `act`: handshakes that one source completes per second, over an attack on its service, that get it banned. Only packets
        /// count that nobody can forge: those that hold a cookie, or the answer to a challenge.
        heavy: Spanned<u32> = number(1..=1_000_000).or("100");
        /// With `act`: while packets come for which there is no answer but limits (UDP, ICMP, fragments, other protocols, segments that
        /// are not looked up), the service's limits of each source and prefix are so many times narrower; ICMP and fragments meet
        /// those of `[host]`, `[icmp]` and `[fragments]`. What has no limit gets none. `1` leaves them as they are.
        tighten: Spanned<u32> = number(1..=100).or("1");
        /// Bans per second, at most.
        bans_per_second: Spanned<u32> = number(1..=1000).or("10");
        /// Bans at a time, at most.
        bans: Spanned<u32> = number(0..=100_000).or("1000");
        /// How long a ban lasts if the daemon does not live to end it with the attack.
        ban_ttl: Spanned<Duration> = duration(10..=86_400).or("10m");
    }
}

section! {
    /// `[[notify]]`: told when an attack begins, gets another vector, and ends: in order, again until it works, never twice. What is said of
    /// sources is what `privacy.addresses` lets incidents keep. Nobody is waited for: a target that is slow or gone costs nothing but its notifications.
    Notify {
        /// Its name in metrics and messages; unique.
        name: Spanned<String> = name();
        /// How it is told. `webhook`: a POST of JSON, signed as Standard Webhooks say. `alertmanager`: an alert for each attacked service, by
        /// API version 2, repeated every minute while it lasts. `journal`: a message with fields. `syslog`: a line. `command`: a program with JSON on
        /// its standard input, without a shell, as the daemon's user and in its sandbox.
        kind: Spanned<Via> = choice(VIAS);
        /// Where: the URL of a webhook, Alertmanager's address (`"http://192.31.196.9:9093"`), a program's path, another socket of the journal or of syslog.
        to: Option<Spanned<Origin>> = origin().optional("the host's journal or syslog");
        /// A file with the URL in the place of `to`, where the URL itself is a secret; root's own, mode 0600.
        to_file: Option<Spanned<PathBuf>> = path().optional("none");
        /// A command's arguments.
        args: Vec<Spanned<String>> = argument().list();
        /// What is told; nothing means all. Alertmanager gets what is so and tells people itself.
        events: Vec<Spanned<Event>> =
            choice(&[("began", Event::Began), ("vector", Event::Vector), ("ended", Event::Ended)]).list();
        /// An attack that begins so soon after the last one on the same service was told is told when it has lasted that long; if it ends before, it is
        /// only counted. So an attack that comes and goes does not wake somebody each time.
        repeat: Spanned<Duration> = duration(0..=86_400).or("10m");
        /// How long one try may take in all.
        timeout: Spanned<Duration> = duration(1..=60).or("10s");
        /// How long it is tried again, with pauses of 2 s to 5 min. What waits outlives the daemon.
        give_up: Spanned<Duration> = duration(10..=86_400).or("1h");
        /// A webhook's signing key: `whsec_` and 16 to 64 bytes in base64, in a file of root's own, mode 0600.
        sign_key_file: Option<Spanned<PathBuf>> = path().optional("none");
        /// A file with a secret that is sent in `header`; root's own, mode 0600.
        key_file: Option<Spanned<PathBuf>> = path().optional("none");
        /// The header that the secret is sent in.
        header: Spanned<String> = header().or("Authorization");
        /// Certificates (PEM) to trust in the place of the host's.
        ca_file: Option<Spanned<PathBuf>> = path().optional("the host's");
    }
}

section! {
    /// `[privacy]`: what incidents hold (`floodwall incident`), from the next attack on. What is shown live (`watch`, `attack show`, `ban list`) shows whole
    /// addresses to those who may ask the daemon; see [privacy](privacy.md).
    Privacy {
        /// What stays of a source's address: `truncated` its /24 or /48, `full` all of it, `pseudonym` a keyed hash, written as an
        /// address of 100::/64, the same for the same address on this host.
        addresses: Spanned<Addresses> = choice(&[
            ("truncated", Addresses::Truncated),
            ("full", Addresses::Full),
            ("pseudonym", Addresses::Pseudonym),
        ])
        .or("truncated");
        /// How long incidents are kept; at most 200 of them and 16 MiB in any case.
        retention: Spanned<Duration> = duration(3600..=31_536_000).or("30d");
    }
}

section! {
    /// `[metrics]`
    Metrics {
        /// Where `/metrics`, `/healthz` (the daemon is alive) and `/readyz` (everything is filtered that should be; else 503 and why) are
        /// served. Beyond loopback give it `tls_cert`, `tls_key` and `users_file`.
        listen: Spanned<Option<SocketAddr>> = listen().or("127.0.0.1:9980");
        /// Certificate chain in PEM: they are served over TLS (1.2 or 1.3) only. Read again when it is renewed.
        tls_cert: Option<Spanned<PathBuf>> = path().optional("none");
        /// Its private key in PEM.
        tls_key: Option<Spanned<PathBuf>> = path().optional("none");
        /// Who may look: names and bcrypt hashes as `htpasswd -B` writes them, a line each; costs of 4 to 14. Read again when it changes.
        /// `/healthz` needs no password.
        users_file: Option<Spanned<PathBuf>> = path().optional("everybody");
        /// `true`: a page for browsers at `/`, as `floodwall top` but with networks instead of addresses; it only looks.
        page: bool = switch();
    }
}

impl Metrics {
    /// Where others can reach them.
    #[must_use]
    pub fn open_at(&self) -> Option<SocketAddr> {
        self.listen.as_ref().filter(|address| !address.ip().is_loopback())
    }
}

impl Service {
    /// Whether it asks for SYN cookies.
    #[must_use]
    pub fn wants_cookies(&self) -> bool {
        matches!(self.syn.mode.as_ref(), SynMode::Cookie | SynMode::Auto) && self.has(Protocol::Tcp)
    }

    /// Whether it does anything about SYNs.
    #[must_use]
    pub fn defends_syns(&self) -> bool {
        *self.syn.mode.as_ref() != SynMode::Off
    }

    /// Whether it has a port of that protocol.
    #[must_use]
    pub fn has(&self, protocol: Protocol) -> bool {
        self.ports.iter().any(|ports| ports.as_ref().protocol == protocol)
    }
}
