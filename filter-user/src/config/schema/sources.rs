//! Sources that pass or do not: lists, feeds, bans.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use toml::Spanned;

use crate::{
    config::{
        rule::{section, switch_on},
        value::{Origin, choice, duration, header, name, number, origin, path, prefix},
    },
    feed::format::{FORMATS, Format},
};

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
