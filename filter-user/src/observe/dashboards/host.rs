//! The filter as a program on a host: attachment, tables, keys, configuration, the daemon.

use super::{
    BAD, Dashboard, OFF, Panel,
    View::{Lines, Stat, States},
    WARN, YES, panel, target,
};

pub(super) const BOARD: Dashboard = Dashboard {
    uid: "floodwall-host",
    title: "Floodwall / Host and data plane",
    description: "The filter as a program on a host: attachment, tables, keys, configuration, the daemon.",
    rows: &[("State", STATE), ("Data plane", PLANE), ("Configuration", CONFIG), ("Daemon", DAEMON)],
};

const STATE: &[Panel] = &[
    panel(
        "Daemons",
        "Daemons that Prometheus can ask. The filter goes on without one until its cookie key is too old.",
        "short",
        Stat(&[]),
    )
    .asks(&[target("count(floodwall_build_info{%})", "daemons")]),
    panel(
        "Versions",
        "Different versions of the daemon: more than one while an upgrade goes on.",
        "short",
        Stat(&[]),
    )
    .from(&[(2.0, WARN)])
    .asks(&[target("count(count by (version) (floodwall_build_info{%}))", "versions")]),
    panel(
        "Tables",
        "Whether the kernel's tables could be read at the last scrape.",
        "none",
        Stat(&[(0.0, "unreadable", BAD), (1.0, "readable", YES)]),
    )
    .asks(&[target("min(floodwall_maps_readable{%})", "tables")]),
    panel(
        "Bypass",
        "1 while floodwall bypass lets everything pass.",
        "none",
        Stat(&[(0.0, "off", YES), (1.0, "BYPASSED", BAD)]),
    )
    .asks(&[target("max(floodwall_bypass{%})", "bypass")]),
    panel(
        "State folder",
        "Whether revisions, bans and deadlines can be kept across a boot.",
        "none",
        Stat(&[(0.0, "not writable", BAD), (1.0, "writable", YES)]),
    )
    .asks(&[target("min(floodwall_state_writable{%})", "state")]),
    panel(
        "Damaged state files",
        "Files of daemon.state that were put aside since the daemon started; defaults were taken in their place.",
        "short",
        Stat(&[]),
    )
    .from(&[(1.0, WARN)])
    .asks(&[target("sum(floodwall_state_quarantined_total{%})", "files")]),
];

const PLANE: &[Panel] = &[
    panel(
        "XDP by interface",
        "How XDP is attached: native runs in the driver; generic in the stack, at a fraction of the speed. No line is lit where it is not attached.",
        "none",
        States(&[(0.0, "no", OFF), (1.0, "yes", YES)]),
    )
    .asks(&[target(
        "max by (instance, interface, mode) (floodwall_interface_attached{%})",
        "{{instance}} {{interface}} {{mode}}",
    )]),
    panel(
        "Next program",
        "1 while the program of interface.next (a load balancer, say) gets what passes; 0: nothing is pinned there.",
        "none",
        States(&[(0.0, "missing", BAD), (1.0, "runs", YES)]),
    )
    .asks(&[target(
        "max by (instance, interface) (floodwall_interface_next{%}) or on () vector(1)",
        "{{instance}} {{interface}}",
    )]),
    panel(
        "Fill of tables",
        "Part of each table that is in use. Tables of sources and flows are caches that may fill in a flood; when bans are full, new ones are refused.",
        "percentunit",
        Lines,
    )
    .from(&[(0.8, WARN), (0.95, BAD)])
    .asks(&[target(
        "max by (map) (floodwall_map_entries{%} / floodwall_map_max_entries{%})",
        "{{map}}",
    )]),
    panel(
        "Entries of tables",
        "Entries in use, by table.",
        "short",
        Lines,
    )
    .asks(&[target("sum by (map) (floodwall_map_entries{%})", "{{map}}")]),
    panel(
        "Time per packet",
        "Mean time in the attached programs. 0 unless kernel.bpf_stats_enabled is on and the daemon may read it (CAP_SYS_ADMIN); measuring slows each packet down.",
        "s",
        Lines,
    )
    .from(&[(0.000_001, WARN)])
    .asks(&[target(
        "sum by (hook) (rate(floodwall_bpf_run_seconds_total{%}[$__rate_interval])) / (sum by (hook) (rate(floodwall_bpf_runs_total{%}[$__rate_interval])) > 0) or on () vector(0)",
        "{{hook}}",
    )]),
    panel(
        "Kernel measures programs",
        "1 while kernel.bpf_stats_enabled is on and can be read. Switch it off when you have seen enough.",
        "none",
        States(&[(0.0, "no", OFF), (1.0, "yes", WARN)]),
    )
    .asks(&[target("max by (instance) (floodwall_bpf_stats_enabled{%})", "{{instance}}")]),
    panel(
        "Age of the cookie key",
        "A sawtooth up to cookie.period. If it goes on rising nobody rotates keys, and cookies step down at five periods.",
        "s",
        Lines,
    )
    .from(&[(320.0, WARN)])
    .wide(8).asks(&[target("max by (instance) (floodwall_cookie_key_age_seconds{%})", "{{instance}}")]),
    panel(
        "Time left of the cookie key",
        "Until the data path refuses the key by itself. At 0 SYNs are no longer answered with cookies.",
        "s",
        Lines,
    )
    .wide(8).asks(&[target("min by (instance) (floodwall_cookie_key_expires_seconds{%})", "{{instance}}")]),
    panel(
        "Epoch of the cookie key",
        "Hosts that share a master key (anycast, ECMP) are in the same epoch, or refuse each other's cookies.",
        "short",
        Lines,
    )
    .wide(8).asks(&[target("max by (instance) (floodwall_cookie_epoch{%})", "{{instance}}")]),
];

const CONFIG: &[Panel] = &[
    panel(
        "Revision in force",
        "Number of the configuration revision: each step is a change. floodwall history and diff tell what.",
        "short",
        Lines,
    )
    .asks(&[target("max by (instance) (floodwall_config_revision{%})", "{{instance}}")]),
    panel(
        "Since the last load",
        "Time since the configuration was last loaded.",
        "s",
        Lines,
    )
    .asks(&[target(
        "time() - max by (instance) (floodwall_config_last_reload_success_timestamp_seconds{%})",
        "{{instance}}",
    )]),
    panel(
        "Waits for an operator",
        "Pending: an apply that is taken back unless somebody confirms it. Differs: what runs is not what the file says. Both want a person, not at once.",
        "none",
        States(&[(0.0, "no", OFF), (1.0, "yes", WARN)]),
    )
    .wide(24)
    .asks(&[
        target("max by (instance) (floodwall_config_pending_confirm{%})", "{{instance}} pending"),
        target("max by (instance) (floodwall_config_differs_from_file{%})", "{{instance}} differs"),
    ]),
];

const DAEMON: &[Panel] = &[
    panel(
        "CPU of the daemon",
        "Cores that the daemon takes; the data path's own work is the kernel's (softirq), and not in it.",
        "percentunit",
        Lines,
    )
    .from(&[(0.2, WARN), (0.8, BAD)])
    .asks(&[target(
        "sum by (instance) (rate(process_cpu_seconds_total{%}[$__rate_interval]))",
        "{{instance}}",
    )]),
    panel(
        "Memory of the daemon",
        "Resident memory. The tables are the kernel's, and not in it.",
        "bytes",
        Lines,
    )
    .from(&[(512.0 * 1024.0 * 1024.0, WARN)])
    .asks(&[target("max by (instance) (process_resident_memory_bytes{%})", "{{instance}}")]),
    panel(
        "Time to read the tables",
        "How long the last scrape took in the daemon; it does nothing else meanwhile.",
        "s",
        Lines,
    )
    .from(&[(0.5, WARN)])
    .asks(&[target("max by (instance) (floodwall_scrape_duration_seconds{%})", "{{instance}}")]),
    panel(
        "Series",
        "Series of a scrape: the configuration makes them, never traffic. Below 2,000 on a usual host.",
        "short",
        Lines,
    )
    .from(&[(2000.0, WARN)])
    .asks(&[target("max by (instance) (scrape_samples_scraped{%})", "{{instance}}")]),
    panel(
        "Open files",
        "File descriptors of the daemon: maps, links, connections. A line that only rises is a leak.",
        "short",
        Lines,
    )
    .from(&[(500.0, WARN)])
    .asks(&[target("max by (instance) (process_open_fds{%})", "{{instance}}")]),
    panel(
        "Uptime of the daemon",
        "Time since it started. The filter and its counters outlive it.",
        "s",
        Lines,
    )
    .asks(&[target("time() - max by (instance) (process_start_time_seconds{%})", "{{instance}}")]),
];
