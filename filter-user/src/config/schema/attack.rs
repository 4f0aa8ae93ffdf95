//! Attacks: what is looked at, who is told, what is kept.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    config::{
        rule::{section, switch_on},
        value::{Origin, argument, choice, duration, header, name, number, origin, path, power_of_two},
    },
    daemon::notify::Event,
};

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
        /// Where. `webhook`: its URL. `alertmanager`: its address (`"http://192.31.196.9:9093"`). `command`: the program's absolute path. `journal`,
        /// `syslog`: another socket than the host's.
        to: Option<Spanned<Origin>> = origin().optional("the host's journal or syslog");
        /// A file with the URL in the place of `to`, where the URL itself is a secret; root's own, mode 0600.
        to_file: Option<Spanned<PathBuf>> = path().optional("none");
        /// A command's arguments.
        args: Vec<Spanned<String>> = argument().list();
        /// What is told; nothing means all. Alertmanager gets what is so and tells people itself.
        events: Vec<Spanned<Event>> =
            choice(&[("began", Event::Began), ("vector", Event::Vector), ("ended", Event::Ended)]).list();
        /// An attack that begins so soon after something was said of its service is told when that time is over, if it still goes on; else it is
        /// only counted. So an attack that comes and goes does not wake somebody each time. Not for Alertmanager.
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
