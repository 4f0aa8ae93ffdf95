//! Every metric: name, type, unit, labels with their values, help. `docs/metrics.md`, the dashboards' units and the checks of their
//! expressions follow from here.

use super::label::{
    ATTACHED, BAN_KIND, CAUSE, COOKIE, FAMILY, FEED, HAND_OVER, HOOK, INTERFACE, KEPT, LEFT_OUT, LIMITER,
    LIST, LOOK, Label, MAP, MODE_LABEL, NOTICE, ORIGIN, REASON, RULE, RULE_VERDICT, SERVICE, TARGET, VECTOR,
    VERDICT, VERSION,
};

/// A metric's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the tables are removed.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// As the exposition format writes it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// What a value counts, or is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Packets.
    Packets,
    /// Bytes on the wire.
    Bytes,
    /// A duration.
    Seconds,
    /// A moment, seconds since 1970.
    Moment,
    /// 0: no, 1: yes.
    Flag,
    /// A number of anything else.
    Number,
}

impl Unit {
    /// As the docs write it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Moment => "seconds since 1970",
            Self::Flag => "0 or 1",
            Self::Number => "number",
        }
    }
}

/// A metric's declaration.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, with prefix and unit.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [Label],
    /// One line for operators.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $unit:ident $name:literal [$($label:ident),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub(super) const $id: Metric = Metric {
                name: concat!("floodwall_", $name),
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// All of them, in the order of the docs.
        pub const METRICS: &[Metric] = &[$($id),*];
    };
}

metrics! {
    PACKETS Counter Packets "packets_total" [INTERFACE, VERDICT, REASON]
        "Packets by fate. In observe mode all pass; would_drop and would_reply tell what enforcing had done.";
    BYTES Counter Bytes "bytes_total" [INTERFACE, VERDICT, REASON]
        "Bytes on the wire by fate, from the Ethernet header on, as received.";
    EGRESS_PACKETS Counter Packets "egress_packets_total" [INTERFACE, VERDICT, REASON]
        "Packets that left the host, by fate; would_drop while spoofing.egress only monitors.";
    EGRESS_BYTES Counter Bytes "egress_bytes_total" [INTERFACE, VERDICT, REASON]
        "Bytes that left the host, by fate; what the card segments is one packet.";
    SYN_RECEIVED Counter Packets "syn_received_total" [SERVICE]
        "SYNs that came for the service, forged ones among them, those of the allow lists not; estimated from sampled packets, so 0 while nothing is sampled (detect.mode, events.enabled); service * is the rest of the host.";
    COOKIE_SENT Counter Packets "syn_cookie_sent_total" []
        "SYNs answered with a SYN cookie: no memory was spent on them.";
    COOKIE_VALIDATED Counter Packets "syn_cookie_validated_total" [COOKIE]
        "ACKs for no known connection that were checked for a cookie: valid ones become connections, invalid ones are dropped.";
    COOKIE_HANDOVER Counter Packets "syn_cookie_handover_total" [HAND_OVER]
        "What became of accepted cookies when tc ingress handed them to the kernel.";
    CHALLENGE_SENT Counter Packets "challenge_sent_total" []
        "SYNs answered with a challenge: a SYN-ACK that only a client that can receive resets.";
    CHALLENGE_PASSED Counter Packets "challenge_passed_total" []
        "RSTs that answered a challenge: proofs that a source can receive.";
    SYN_ARMED Gauge Flag "syn_armed" [SERVICE]
        "1 while the service's SYNs are (in observe mode: would be) answered because more came than its syn.on; service * is the rest of the host.";
    SYN_ARMINGS Counter Number "syn_armings_total" [SERVICE]
        "How often syn_armed went to 1 since the tables were made.";
    STRAY_ARMED Gauge Flag "stray_armed" [SERVICE]
        "1 while segments of no connection are (in observe mode: would be) dropped because they flood the service; service * is the rest of the host.";
    STRAY_ARMINGS Counter Number "stray_armings_total" [SERVICE]
        "How often stray_armed went to 1 since the tables were made.";
    LIMITS_TIGHTENED Gauge Flag "limits_tightened" [SERVICE]
        "1 while the detector keeps the limits of sources narrower; service * is the rest of the host.";
    ATTACK_ACTIVE Gauge Flag "attack_active" [VECTOR, SERVICE]
        "1 while the detector sees such an attack; service * is the rest of the host.";
    ATTACKS Counter Number "attacks_total" [VECTOR, SERVICE]
        "Attacks that began since the daemon started; service * is the rest of the host.";
    INCIDENTS Counter Number "incidents_total" [KEPT]
        "Attacks kept in daemon.state as incidents since the daemon started, and writings of them that failed.";
    NOTIFICATIONS Counter Number "notifications_total" [TARGET, NOTICE]
        "Notifications of attacks by what became of them since the daemon started: sent, failed tries (those of `floodwall notify test` too), given up, and not said twice.";
    NOTIFICATIONS_WAITING Gauge Number "notifications_waiting" [TARGET]
        "Notifications that the target has not taken yet; they are tried again until notify.give_up.";
    EVENTS Counter Packets "events_total" []
        "Sampled packets that the data path told the daemon of: what the detector knows.";
    EVENTS_LOST Counter Packets "events_lost_total" [CAUSE]
        "Sampled packets that it could not tell of: the ring was full, or the budget spent before the rate had followed.";
    RULE_PACKETS Counter Packets "rule_packets_total" [RULE, RULE_VERDICT]
        "Packets that met a rule, by what it did; would_* for a rule or a host that is only observed.";
    RULE_BYTES Counter Bytes "rule_bytes_total" [RULE, RULE_VERDICT]
        "Bytes on the wire of packets that met a rule, from the Ethernet header on, as received.";
    COOKIE_ARMED Gauge Flag "syn_cookie_armed" []
        "1 while SYNs of services with cookies are answered: the kernel can, and there is a key in its time.";
    COOKIE_EPOCH Gauge Number "cookie_epoch" []
        "Number of the epoch whose key issues cookies.";
    COOKIE_KEY_AGE Gauge Seconds "cookie_key_age_seconds" []
        "Time since the key that issues cookies came into use; it is replaced every cookie.period.";
    COOKIE_KEY_EXPIRES Gauge Seconds "cookie_key_expires_seconds" []
        "Time until the data path refuses the key by itself; 0 when it does.";
    STEP_DOWN_PORTS Gauge Number "syn_cookie_stepped_down_ports" []
        "TCP ports whose SYNs are challenged because a cookie cannot be handed over there (floodwall status names them).";
    RATELIMIT_DROPPED Counter Packets "ratelimit_dropped_total" [LIMITER]
        "Packets dropped because they were over a limit, by the limit. In observe mode none are: see packets_total.";
    LIST_PREFIXES Gauge Number "list_prefixes" [LIST, FAMILY]
        "Prefixes in force of lists.allow and lists.block; those of feeds are among the latter.";
    FEED_ENTRIES Gauge Number "feed_entries" [FEED, FAMILY]
        "Entries of the feed's last good copy that are taken, before they are merged.";
    FEED_RANGES Gauge Number "feed_ranges" [FEED, FAMILY]
        "Ranges of addresses that the feed's entries come to, as they are in force.";
    FEED_LEFT_OUT Gauge Number "feed_left_out" [FEED, LEFT_OUT]
        "Entries of the feed's last good copy that are not in force: too wide, bad, or about something else; spared: ranges that hold somebody who has to get through.";
    FEED_LOOKS Counter Number "feed_looks_total" [FEED, LOOK]
        "Looks at the feed's source since the daemon started, by how they ended: changed, same, failed (nothing was got), refused (what was got is not taken).";
    FEED_SUCCESS_TIME Gauge Moment "feed_last_success_timestamp_seconds" [FEED]
        "When the feed's source was last heard with something good, or with nothing newer, seconds since 1970; 0: never.";
    FEED_IN_FORCE Gauge Flag "feed_in_force" [FEED]
        "1 while the feed's last good copy is in force; 0: nothing of it is.";
    FEED_FAILING Gauge Flag "feed_failing" [FEED]
        "1 while the last look at the feed's source failed or was refused, or the copy cannot be taken into force.";
    FEED_STALE Gauge Flag "feed_stale" [FEED]
        "1 while nothing good was heard of the feed for its stale_after; the copy stays in force.";
    BAN_ENTRIES Gauge Number "ban_entries" [BAN_KIND]
        "Bans in force: sources (IPv4 addresses, IPv6 /64s) and other prefixes; those that have just ended may be among them.";
    BANS_MADE Counter Number "bans_total" [ORIGIN]
        "Bans made, by who made them: an operator (imports and restored ones are counted as well) or the detector.";
    BANS_REFUSED Counter Number "bans_refused_total" []
        "Bans refused because limits.bans or limits.banned_prefixes was reached.";
    MAP_ENTRIES Gauge Number "map_entries" [MAP]
        "Entries of a table of the data path that are in use.";
    MAP_MAX_ENTRIES Gauge Number "map_max_entries" [MAP]
        "Entries that fit into a table of the data path; its size is a knob of [limits].";
    MODE Gauge Flag "mode" [MODE_LABEL]
        "1 for the mode in force: observe counts and passes everything, enforce carries verdicts out.";
    INTERFACE_ATTACHED Gauge Flag "interface_attached" [INTERFACE, ATTACHED]
        "1 for the way in which XDP is attached to the interface; all are 0 while it is not filtered, or not there.";
    INTERFACE_NEXT Gauge Flag "interface_next" [INTERFACE]
        "1 while the program of interface.next goes on with what passes; 0: nothing is pinned there, the stack gets it.";
    BPF_STATS Gauge Flag "bpf_stats_enabled" []
        "1 while the kernel measures programs (sysctl kernel.bpf_stats_enabled) and the daemon may read that: it takes CAP_SYS_ADMIN, which the shipped unit does not have. Measuring makes every program slower, so Floodwall never switches it on.";
    BPF_RUN_SECONDS Counter Seconds "bpf_run_seconds_total" [INTERFACE, HOOK]
        "Time spent in the attached program since it was attached, while bpf_stats_enabled was 1; divided by bpf_runs_total: per packet.";
    BPF_RUNS Counter Packets "bpf_runs_total" [INTERFACE, HOOK]
        "Packets that the attached program has seen since it was attached, while bpf_stats_enabled was 1.";
    RELOAD_SUCCESSFUL Gauge Flag "config_last_reload_successful" []
        "1 if the last attempt to load the configuration succeeded; 0: the one before it stays in force.";
    RELOAD_SUCCESS_TIME Gauge Moment "config_last_reload_success_timestamp_seconds" []
        "When the configuration was last loaded, seconds since 1970.";
    CONFIG_REVISION Gauge Number "config_revision" []
        "Number of the configuration revision in force (floodwall history); 0: none is known.";
    CONFIG_PENDING Gauge Flag "config_pending_confirm" []
        "1 while an apply waits to be confirmed, and will be taken back if nobody does.";
    CONFIG_DIFFERS Gauge Flag "config_differs_from_file" []
        "1 while what is in force is not what the daemon's file says: after a rollback, or an apply of another file.";
    BYPASS Gauge Flag "bypass" []
        "1 while floodwall bypass lets everything pass.";
    STATE_WRITABLE Gauge Flag "state_writable" []
        "0 while nothing can be kept in daemon.state: apply --confirm is refused, bans are lost at a boot.";
    STATE_QUARANTINED Counter Number "state_quarantined_total" []
        "Damaged state files that were put aside since the daemon started.";
    MAPS_READABLE Gauge Flag "maps_readable" []
        "0 if the tables could not be read for this scrape: then this and build_info are all there is.";
    SCRAPE_DURATION Gauge Seconds "scrape_duration_seconds" []
        "Time that it took to read the tables for this scrape.";
    BUILD_INFO Gauge Flag "build_info" [VERSION]
        "1; the version of the daemon is the label.";
}
