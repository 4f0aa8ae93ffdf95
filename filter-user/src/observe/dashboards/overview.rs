//! Is everything all right? What comes in, what is dropped, why.

use super::{
    BAD, Dashboard, OFF, PLAIN, Panel,
    View::{Lines, Stacked, Stat, States},
    WARN, YES, panel, target,
};

pub(super) const BOARD: Dashboard = Dashboard {
    uid: "floodwall-overview",
    title: "Floodwall / Overview",
    description: "Is everything all right? What comes in, what is dropped, and why.",
    rows: &[("Now", NOW), ("Traffic", TRAFFIC), ("Attacks", ATTACKS)],
};

const NOW: &[Panel] = &[
    panel(
        "Mode",
        "Whether verdicts are carried out. In observe mode everything passes and is only counted; with several hosts the weakest is shown.",
        "none",
        Stat(&[(0.0, "observe", WARN), (1.0, "enforce", YES)]),
    )
    .asks(&[target("min(floodwall_mode{%,mode=\"enforce\"})", "mode")]),
    panel(
        "Attacks",
        "Vectors that the detector sees now, over all chosen services.",
        "short",
        Stat(&[(0.0, "none", YES)]),
    )
    .from(&[(1.0, BAD)])
    .asks(&[target("sum(floodwall_attack_active{%,service=~\"$service\"})", "attacks")]),
    panel(
        "Interfaces not filtered",
        "Interfaces of the configuration on which no XDP program of Floodwall runs, or that are not there. Attacks reach the host through them.",
        "short",
        Stat(&[(0.0, "none", YES)]),
    )
    .from(&[(1.0, BAD)])
    .asks(&[target(
        "count(max by (job, instance, interface) (floodwall_interface_attached{%}) == 0) or vector(0)",
        "interfaces",
    )]),
    panel(
        "Received",
        "Packets that came in on all interfaces.",
        "pps",
        Stat(&[]),
    )
    .asks(&[target("sum(rate(floodwall_packets_total{%}[$__rate_interval]))", "received")]),
    panel(
        "Dropped",
        "Packets that were dropped, or would have been in observe mode.",
        "pps",
        Stat(&[]),
    )
    .from(&[(1000.0, WARN), (100_000.0, BAD)])
    .asks(&[target(
        "sum(rate(floodwall_packets_total{%,verdict=~\"drop|would_drop\"}[$__rate_interval]))",
        "dropped",
    )]),
    panel(
        "Configuration",
        "Whether the last attempt to load the configuration succeeded. If not, the one before it is in force: see floodwall status.",
        "none",
        Stat(&[(0.0, "refused", BAD), (1.0, "loaded", YES)]),
    )
    .asks(&[target("min(floodwall_config_last_reload_successful{%})", "configuration")]),
];

const TRAFFIC: &[Panel] = &[
    panel(
        "Packets by verdict",
        "What became of packets. would_drop and would_reply passed, and tell what enforcing had done.",
        "pps",
        Stacked,
    )
    .asks(&[target(
        "sum by (verdict) (rate(floodwall_packets_total{%}[$__rate_interval]))",
        "{{verdict}}",
    )]),
    panel(
        "Bits by verdict",
        "The same in bits on the wire, from the Ethernet header on.",
        "bps",
        Stacked,
    )
    .asks(&[target(
        "8 * sum by (verdict) (rate(floodwall_bytes_total{%}[$__rate_interval]))",
        "{{verdict}}",
    )]),
    panel(
        "Drops by reason",
        "The ten reasons that most packets are, or would be, dropped for. docs/metrics.md says what each means; floodwall explain tells it for one packet.",
        "pps",
        Stacked,
    )
    .asks(&[target(
        "topk(10, sum by (reason) (rate(floodwall_packets_total{%,verdict=~\"drop|would_drop\"}[$__rate_interval])) > 0) or on () vector(0)",
        "{{reason}}",
    )]),
    panel(
        "Packets by interface",
        "What came in, by interface. Where one is flat at 0, look whether it is attached.",
        "pps",
        Lines,
    )
    .asks(&[target(
        "sum by (instance, interface) (rate(floodwall_packets_total{%}[$__rate_interval]))",
        "{{instance}} {{interface}}",
    )]),
];

/// On the dashboard of attacks as well.
pub(super) const SYNS: Panel = panel(
    "SYNs by service",
    "SYNs that came, honest ones and others, estimated from samples. * is what is for no service.",
    "pps",
    Lines,
)
.asks(&[target(
    "sum by (service) (rate(floodwall_syn_received_total{%,service=~\"$service\"}[$__rate_interval]))",
    "{{service}}",
)]);

const ATTACKS: &[Panel] = &[
    SYNS,
    panel(
        "Attacks by vector",
        "What the detector sees, by vector and service: nothing is drawn for what is quiet. floodwall attack list names them, attack show who sends most.",
        "none",
        States(&[(0.0, "no", OFF), (1.0, "attack", BAD)]),
    )
    .asks(&[target(
        "max by (vector, service) (floodwall_attack_active{%,service=~\"$service\"}) > 0 or on () vector(0)",
        "{{service}} {{vector}}",
    )]),
    panel(
        "Services that answer SYNs",
        "1 while more SYNs come than the service's syn.on, so that SYNs are answered by cookies or challenges.",
        "none",
        States(&[(0.0, "stack", YES), (1.0, "armed", WARN)]),
    )
    .asks(&[target(
        "max by (service) (floodwall_syn_armed{%,service=~\"$service\"})",
        "{{service}}",
    )]),
    panel("Bans in force", "Sources and prefixes that are banned now.", "short", Lines)
        .from(&[(1_000_000.0, PLAIN)])
        .asks(&[target("sum by (kind) (floodwall_ban_entries{%})", "{{kind}}")]),
];
