//! Who is kept out, by whom, and whether the lists are fresh.

use super::{
    BAD, Dashboard, OFF, Panel,
    View::{Lines, Stacked, Stat, States},
    WARN, YES, panel, target,
};

pub(super) const BOARD: Dashboard = Dashboard {
    uid: "floodwall-bans",
    title: "Floodwall / Bans and feeds",
    description: "Who is kept out, by whom, and whether the lists are fresh.",
    rows: &[("Bans", BANS), ("Lists", LISTS), ("Feeds", FEEDS)],
};

const BANS: &[Panel] = &[
    panel("Banned sources", "IPv4 addresses and IPv6 /64s that are banned now.", "short", Stat(&[]))
        .wide(6).asks(&[target("sum(floodwall_ban_entries{%,kind=\"source\"})", "sources")]),
    panel("Banned prefixes", "Other prefixes that are banned now.", "short", Stat(&[]))
        .wide(6).asks(&[target("sum(floodwall_ban_entries{%,kind=\"prefix\"})", "prefixes")]),
    panel(
        "Bans refused",
        "Bans that found no room in the last hour: raise limits.bans or limits.banned_prefixes, or ban prefixes in the place of sources.",
        "short",
        Stat(&[(0.0, "none", YES)]),
    )
    .from(&[(1.0, BAD)])
    .wide(6).asks(&[target("sum(increase(floodwall_bans_refused_total{%}[1h]))", "refused")]),
    panel(
        "Feeds that want a look",
        "Feeds that fail, are stale or are not in force.",
        "short",
        Stat(&[(0.0, "none", YES)]),
    )
    .from(&[(1.0, WARN)])
    .wide(6).asks(&[target(
        "sum(max by (job, instance, feed) (floodwall_feed_failing{%}) or floodwall_feed_stale{%} > 0) or vector(0)",
        "feeds",
    )]),
    panel("Bans in force", "By kind, over time.", "short", Lines)
        .wide(8)
        .asks(&[target("sum by (kind) (floodwall_ban_entries{%})", "{{kind}}")]),
    panel(
        "Bans made",
        "In the last hour, by who made them: an operator (with imports) or the detector.",
        "short",
        Lines,
    )
    .wide(8).asks(&[target("sum by (origin) (increase(floodwall_bans_total{%}[1h]))", "{{origin}}")]),
    panel(
        "Drops by bans and lists",
        "Packets of sources that are banned or on the block list.",
        "pps",
        Stacked,
    )
    .wide(8).asks(&[target(
        "sum by (reason) (rate(floodwall_packets_total{%,reason=~\"banned|block_list\"}[$__rate_interval]))",
        "{{reason}}",
    )]),
];

const LISTS: &[Panel] = &[
    panel(
        "Prefixes of lists",
        "Prefixes of lists.allow and lists.block that are in force, feeds among them. A sudden step is a feed, or a file, that has changed.",
        "short",
        Lines,
    )
    .asks(&[target("sum by (list, family) (floodwall_list_prefixes{%})", "{{list}} {{family}}")]),
    panel(
        "Passed by allow lists",
        "Packets of sources that pass whatever they send: management first, then lists.allow. A flood from there is not stopped.",
        "pps",
        Lines,
    )
    .from(&[(10_000.0, WARN)])
    .asks(&[target(
        "sum by (reason) (rate(floodwall_packets_total{%,reason=~\"management|allow_list\"}[$__rate_interval]))",
        "{{reason}}",
    )]),
];

const FEEDS: &[Panel] = &[
    panel(
        "State of feeds",
        "Lit while the last look failed, or nothing good was heard for stale_after. The last good copy stays in force.",
        "none",
        States(&[(0.0, "good", YES), (1.0, "wants a look", WARN)]),
    )
    .asks(&[
        target("max by (feed) (floodwall_feed_failing{%}) or on () vector(0)", "{{feed}} failing"),
        target("max by (feed) (floodwall_feed_stale{%}) or on () vector(0)", "{{feed}} stale"),
    ]),
    panel(
        "Feeds in force",
        "1 while the feed's last good copy is in force.",
        "none",
        States(&[(0.0, "not in force", OFF), (1.0, "in force", YES)]),
    )
    .asks(&[target("min by (feed) (floodwall_feed_in_force{%}) or on () vector(0)", "{{feed}}")]),
    panel(
        "Ranges in force",
        "Ranges of addresses that each feed's entries come to.",
        "short",
        Lines,
    )
    .asks(&[target(
        "max by (feed, family) (floodwall_feed_ranges{%}) or on () vector(0)",
        "{{feed}} {{family}}",
    )]),
    panel(
        "Entries",
        "Entries of each feed's last good copy. It is refused if it shrinks by more than max_shrink.",
        "short",
        Lines,
    )
    .asks(&[target(
        "max by (feed, family) (floodwall_feed_entries{%}) or on () vector(0)",
        "{{feed}} {{family}}",
    )]),
    panel(
        "Left out",
        "Entries that are not in force, by why. spared: they hold somebody who has to get through; bad: cannot be read.",
        "short",
        Lines,
    )
    .asks(&[target(
        "max by (feed, why) (floodwall_feed_left_out{%}) or on () vector(0)",
        "{{feed}} {{why}}",
    )]),
    panel(
        "Looks at sources",
        "In the last hour, by how they ended. refused: something was got that is not taken, which floodwall feed show explains.",
        "short",
        Lines,
    )
    .asks(&[target(
        "sum by (feed, result) (increase(floodwall_feed_looks_total{%}[1h])) or on () vector(0)",
        "{{feed}} {{result}}",
    )]),
    panel(
        "Since something good was heard",
        "Time since each feed's source last said something good, or that nothing is newer.",
        "s",
        Lines,
    )
    .from(&[(86_400.0, WARN), (172_800.0, BAD)])
    .wide(24)
    .asks(&[target(
        "time() - max by (feed) (floodwall_feed_last_success_timestamp_seconds{%} > 0) or on () vector(0)",
        "{{feed}}",
    )]),
];
