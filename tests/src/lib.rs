//! Floodwall's laboratory. The major components are:
//!
//! | module | what lives there |
//! |---|---|
//! | [`netns`], [`pair`], [`device`], [`sched`] | two namespaces, the wire between them, who runs where |
//! | [`lab`], [`flood`] | the attacker and the witnesses: kernel programs of `filter-ebpf/src/bin/lab.rs` |
//! | [`packet`] | frames, built and read back |
//! | [`testrun`], [`filter`] | one frame through one loaded program, and every counter's step |
//! | [`probe`] | a million of them |
//! | [`server`], [`client`], [`bulk`], [`honest`], [`latency`] | legitimate traffic |
//! | [`daemon`], [`config`], [`metrics`] | the real `floodwall`, its configuration, its counters |
//! | [`stand`], [`defence`] | all of it together; floods against it |
//! | [`sandbox`] | what systemd lets that binary do |
//! | [`session`] | an operator's connection that has to live |
//! | [`noise`] | nonsense for the control socket |
//! | [`trace`] | processes that are killed at a certain step |
//! | [`prometheus`], [`drawing`], [`alertmanager`] | a real Prometheus, pictures of dashboards, a real Alertmanager |
//! | [`snmp`] | the stack's own counters |
//! | [`cleanup`] | what must not outlive us |
//!
//! Everything needs root and says so. Nothing has a fixed name, port or path, so that two runs do not meet.

pub mod alertmanager;
pub mod bulk;
pub mod cleanup;
pub mod client;
pub mod config;
pub mod daemon;
pub mod defence;
pub mod device;
pub mod drawing;
pub mod filter;
pub mod flood;
pub mod honest;
pub mod lab;
pub mod latency;
pub mod metrics;
pub mod netns;
pub mod noise;
pub mod packet;
pub mod pair;
pub mod probe;
pub mod prometheus;
pub mod sandbox;
pub mod sched;
pub mod server;
pub mod session;
pub mod snmp;
pub mod stand;
pub mod testrun;
pub mod trace;
