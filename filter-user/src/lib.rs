//! Floodwall's daemon and command line.
//!
//! The major components are:
//!
//! - [`config`]: a TOML file, validated, and compiled with facts about the host into a [`dataplane::Plan`].
//! - [`dataplane`]: the only place that touches BPF: loads, attaches, pins, reads and writes maps.
//! - [`daemon`]: the running loop: reload, key rotation, own addresses, control socket, shutdown.
//! - [`detect`]: which service is flooded, by what, from where.
//! - [`observe`]: metrics and status, read from the maps when somebody asks.
//! - [`feed`]: block lists that somebody else keeps: formats, checks, fetching, the last good copy.
//! - [`explain`]: what would become of a packet, or of a capture's packets, and why.
//! - [`guard`]: who has to get through, and whether a configuration lets them.
//! - [`mod@bench`]: nanoseconds per packet, on private copies of the filter.
//! - [`cmd`]: the verbs, one file each, and how they end.
//! - [`store`]: what outlives the daemon: state files, whole or put aside.
//! - [`sys`]: what only an `ioctl` answers.
//!
//! A configuration's way: [`config::load`] -> [`config::compile::plan`] -> [`dataplane::apply`]. Nothing
//! before the last step changes anything; the last step changes everything at once.

pub mod bench;
pub mod cmd;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod detect;
pub mod explain;
pub mod feed;
pub mod files;
pub mod guard;
pub mod observe;
pub mod store;
pub mod sys;
mod web;

#[cfg(test)]
mod testing;
