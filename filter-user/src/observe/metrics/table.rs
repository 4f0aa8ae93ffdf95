//! Every metric: name, type, labels, help. `docs/metrics.md` is generated from here.

/// A metric's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the tables are removed.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric's declaration.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, with prefix and unit.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// One line for operators.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub(super) const $id: Metric =
                Metric { name: concat!("floodwall_", $name), kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// All of them, in the order of the docs.
        pub const METRICS: &[Metric] = &[$($id),*];
    };
}

metrics! {
    PACKETS Counter "packets_total" ["interface", "verdict", "reason"]
        "Packets by fate. In observe mode all pass; would_drop and would_reply tell what enforcing had done.";
    BYTES Counter "bytes_total" ["interface", "verdict", "reason"]
        "Bytes on the wire by fate, from the Ethernet header on, as received.";
    EGRESS_PACKETS Counter "egress_packets_total" ["interface", "verdict", "reason"]
        "Packets that left the host, by fate; would_drop while spoofing.egress only monitors.";
    EGRESS_BYTES Counter "egress_bytes_total" ["interface", "verdict", "reason"]
        "Bytes that left the host, by fate; what the card segments is one packet.";
    COOKIE_SENT Counter "syn_cookie_sent_total" []
        "SYNs answered with a SYN cookie.";
    COOKIE_VALIDATED Counter "syn_cookie_validated_total" ["result"]
        "ACKs for no known connection, by whether their cookie was valid.";
    COOKIE_HANDOVER Counter "syn_cookie_handover_total" ["result"]
        "What became of accepted cookies when tc ingress handed them to the kernel.";
    CHALLENGE_SENT Counter "challenge_sent_total" []
        "SYNs answered with a challenge.";
    CHALLENGE_PASSED Counter "challenge_passed_total" []
        "RSTs that answered a challenge: proofs that a source can receive.";
    SYN_ARMED Gauge "syn_armed" ["service"]
        "1 while the service's SYNs are (in observe mode: would be) answered because more came than its syn.on.";
    SYN_ARMINGS Counter "syn_armings_total" ["service"]
        "How often that began.";
    STRAY_ARMED Gauge "stray_armed" ["service"]
        "1 while segments of no connection are (in observe mode: would be) dropped; service * is the rest of the host.";
    STRAY_ARMINGS Counter "stray_armings_total" ["service"]
        "How often that began.";
    ATTACK_ACTIVE Gauge "attack_active" ["vector", "service"]
        "1 while the detector sees such an attack; service * is the rest of the host.";
    ATTACKS Counter "attacks_total" ["vector", "service"]
        "How often one began since the daemon started.";
    EVENTS Counter "events_total" []
        "Sampled packets that the data path told of.";
    EVENTS_LOST Counter "events_lost_total" ["cause"]
        "Sampled packets that it could not tell of: the ring was full, or the budget spent before the rate had followed.";
    RULE_PACKETS Counter "rule_packets_total" ["rule", "verdict"]
        "Packets that met a rule, by what it did; would_* for a rule or a host that is only observed.";
    RULE_BYTES Counter "rule_bytes_total" ["rule", "verdict"]
        "Their bytes on the wire, from the Ethernet header on, as received.";
    COOKIE_ARMED Gauge "syn_cookie_armed" []
        "1 while SYNs of services with cookies are answered: the kernel can, and there is a key in its time.";
    COOKIE_EPOCH Gauge "cookie_epoch" []
        "Number of the epoch whose key issues cookies.";
    COOKIE_KEY_AGE Gauge "cookie_key_age_seconds" []
        "Time since the key that issues cookies came into use.";
    COOKIE_KEY_EXPIRES Gauge "cookie_key_expires_seconds" []
        "Time until the data path refuses the key by itself; 0 when it does.";
    STEP_DOWN_PORTS Gauge "syn_cookie_stepped_down_ports" []
        "TCP ports whose SYNs are challenged because a cookie cannot be handed over there.";
    RATELIMIT_DROPPED Counter "ratelimit_dropped_total" ["limiter"]
        "Packets dropped by a limit.";
    LIST_PREFIXES Gauge "list_prefixes" ["list", "family"]
        "Prefixes that the list was given, those of feeds among them.";
    FEED_ENTRIES Gauge "feed_entries" ["feed", "family"]
        "Entries of the feed's last good copy.";
    FEED_RANGES Gauge "feed_ranges" ["feed", "family"]
        "Ranges of addresses that they come to and that are in force.";
    FEED_LEFT_OUT Gauge "feed_left_out" ["feed", "why"]
        "What of that copy is not in force: entries that are too wide, bad, or about something else; spared: ranges that hold somebody who has to get through.";
    FEED_LOOKS Counter "feed_looks_total" ["feed", "result"]
        "Looks at the feed's source, by how they ended: changed, same, failed (nothing was got), refused (what was got is not taken).";
    FEED_SUCCESS_TIME Gauge "feed_last_success_timestamp_seconds" ["feed"]
        "When the source was last heard with something good, or with nothing newer, seconds since 1970; 0: never.";
    FEED_IN_FORCE Gauge "feed_in_force" ["feed"]
        "1 while the last good copy is in force.";
    FEED_FAILING Gauge "feed_failing" ["feed"]
        "1 while the last look at the source failed or was refused, or the copy cannot be taken into force.";
    FEED_STALE Gauge "feed_stale" ["feed"]
        "1 while nothing good was heard for stale_after; the copy stays in force.";
    BAN_ENTRIES Gauge "ban_entries" ["kind"]
        "Bans in force: sources (IPv4 addresses, IPv6 /64s) and other prefixes; those that have just ended may be among them.";
    BANS_MADE Counter "bans_total" ["origin"]
        "Bans made, by who made them: an operator (imports and restored ones are counted as well) or the detector.";
    BANS_REFUSED Counter "bans_refused_total" []
        "Bans refused because limits.bans or limits.banned_prefixes was reached.";
    MAP_ENTRIES Gauge "map_entries" ["map"]
        "Entries in use.";
    MAP_MAX_ENTRIES Gauge "map_max_entries" ["map"]
        "Entries that fit.";
    MODE Gauge "mode" ["mode"]
        "1 for the mode in force.";
    INTERFACE_ATTACHED Gauge "interface_attached" ["interface", "mode"]
        "1 for the way in which XDP is attached to the interface.";
    INTERFACE_NEXT Gauge "interface_next" ["interface"]
        "1 while the program of interface.next goes on with what passes; 0: nothing is pinned there, the stack gets it.";
    RELOAD_SUCCESSFUL Gauge "config_last_reload_successful" []
        "Whether the last attempt to load the configuration succeeded.";
    RELOAD_SUCCESS_TIME Gauge "config_last_reload_success_timestamp_seconds" []
        "When the configuration was last loaded, seconds since 1970.";
    CONFIG_REVISION Gauge "config_revision" []
        "Number of the configuration's revision in force.";
    CONFIG_PENDING Gauge "config_pending_confirm" []
        "1 while an apply waits to be confirmed.";
    CONFIG_DIFFERS Gauge "config_differs_from_file" []
        "1 while what is in force is not what the daemon's file says: after a rollback, or an apply of another file.";
    BYPASS Gauge "bypass" []
        "1 while floodwall bypass lets everything pass.";
    STATE_WRITABLE Gauge "state_writable" []
        "0 while nothing can be kept in daemon.state.";
    STATE_QUARANTINED Counter "state_quarantined_total" []
        "Damaged state files that were put aside since the daemon started.";
    BUILD_INFO Gauge "build_info" ["version"]
        "1; the version is the label.";
}
