//! Interfaces.

use std::path::PathBuf;

use filter_common::config::Profile;
use toml::Spanned;

use crate::{
    config::{
        rule::{section, switch},
        value::{choice, interface_name, path},
    },
    dataplane::plan::{Attach, Ingress},
};

/// How an accepted ACK reaches tc ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// In XDP metadata.
    Auto,
    /// tc ingress checks the cookie again.
    Decode,
}

/// Whether a route has to lead back to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// No.
    Off,
    /// Through any interface.
    Loose,
    /// Through the one that it came in by.
    Strict,
}

section! {
    /// `[[interface]]`
    Interface {
        /// Its name, as `ip link` shows it. One that is not there is attached when it appears; at least one has to be there. A VLAN device
        /// stands for the device below it (XDP sees all its VLANs), a bond for all of its devices.
        name: Spanned<String> = interface_name();
        /// Native XDP runs in the driver; generic XDP works everywhere and is slower. `auto` prefers native.
        mode: Spanned<Attach> = choice(&[
            ("auto", Attach::Auto),
            ("native", Attach::Native),
            ("generic", Attach::Generic),
        ])
        .or("auto");
        /// What kind of network it faces. Private sources are normal in `lan` and `cloud`, and the metadata
        /// service's 169.254.169.0/24 in `cloud`.
        profile: Spanned<Profile> = choice(&[
            ("internet", Profile::Internet),
            ("lan", Profile::Lan),
            ("cloud", Profile::Cloud),
        ])
        .or("internet");
        /// Drops sources that no route leads back to (`loose`), or none out of this interface (`strict`; not where routes are
        /// asymmetric). The kernel looks routes up for XDP only where it forwards: without
        /// `net.ipv4.conf.IFACE.forwarding` it doesn't, and `net.ipv4.conf.IFACE.rp_filter` does the same.
        reverse_path: Spanned<ReversePath> = choice(&[
            ("off", ReversePath::Off),
            ("loose", ReversePath::Loose),
            ("strict", ReversePath::Strict),
        ])
        .or("off");
        /// How the tc programs are attached: TCX (Linux 6.6) or clsact filters.
        tc: Spanned<Ingress> = choice(&[
            ("auto", Ingress::Auto),
            ("tcx", Ingress::Tcx),
            ("clsact", Ingress::Clsact),
        ])
        .or("auto");
        /// `auto` hands an accepted ACK to tc ingress in XDP metadata; `decode` checks its cookie there again,
        /// for drivers without metadata.
        handover: Spanned<HandOver> =
            choice(&[("auto", HandOver::Auto), ("decode", HandOver::Decode)]).or("auto");
        /// Where another XDP program is pinned that goes on with the packets that pass, instead of the stack; see [another XDP program
        /// behind this one](#another-xdp-program-behind-this-one).
        next: Option<Spanned<PathBuf>> = path().optional("none");
        /// `true`: on this interface count what would happen, pass everything and answer nothing, whatever `daemon.mode` says.
        observe: bool = switch();
    }
}
