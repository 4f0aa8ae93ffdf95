//! The decision about a packet, and nothing else.
//!
//! This crate has no maps, no clock and no allocator of its own. The kernel shell (`filter-ebpf`) and the
//! host tests drive the same code through two traits: [`frame::Frame`] (the bytes of one packet) and
//! [`state::State`] (what a stage may ask of the world).
//!
//! | module | what lives there |
//! |---|---|
//! | [`cursor`] | bounds-checked reading and writing of packet bytes |
//! | [`word`] | 64-bit words shared between CPUs |
//! | [`headers`] | wire structs and their byte order |
//! | [`packet`] | bytes to meaning: [`packet::Packet`] or the [`reason::Reason`] why not |
//! | [`extensions`], [`ip_options`] | IPv6 extension headers; IPv4 options |
//! | [`options`] | TCP options of a SYN and of a first ACK |
//! | [`quote`] | the packet that an ICMP error is about |
//! | [`reason`] | the table of fates |
//! | [`config`], [`wire`], [`abi`] | what user space tells the data path |
//! | [`rules`] | the operator's rules as tables |
//! | [`siphash`], [`cookie`] | keyed hashing; the SYN cookie's layout |
//! | [`bucket`] | token buckets in a set-associative table |
//! | [`reply`] | a SYN turned into its SYN-ACK in place |
//! | [`bogon`] | sources that cannot be real |
//! | [`event`] | sampled packets for user space |
//! | [`list`], [`ban`] | sources that somebody has listed |
//! | [`stages`] | the ordered pipeline |
#![cfg_attr(not(any(test, feature = "user")), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![deny(unsafe_code)]

// Addresses are combined into 64-bit words the little-endian way, in hashes and in the kernel's socket tuple.
#[cfg(target_endian = "big")]
compile_error!("big-endian machines are not supported yet");

pub mod abi;
pub mod arm;
pub mod ban;
pub mod bogon;
pub mod bucket;
pub mod challenge;
pub mod config;
pub mod cookie;
pub mod cursor;
pub mod event;
pub mod extensions;
pub mod frame;
pub mod headers;
pub mod hints;
pub mod ip_options;
pub mod list;
pub mod nh;
pub mod options;
pub mod packet;
pub mod quote;
pub mod reason;
pub mod reflector;
pub mod reply;
pub mod rules;
pub mod siphash;
pub mod stages;
pub mod state;
pub mod wire;
pub mod word;

#[cfg(any(test, feature = "user"))]
pub mod world;

#[cfg(test)]
mod testing;
