//! The process itself: what it does at all, who may tell it so, what it tells Prometheus.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use toml::Spanned;

use super::{PINS, RUNTIME, STATE};
use crate::config::{
    rule::{section, switch, switch_on},
    value::{
        PortRange, Probe, choice, duration, listen, log_filter, name, number, path, port_range, power_of_two,
        prefix, probe,
    },
};

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
