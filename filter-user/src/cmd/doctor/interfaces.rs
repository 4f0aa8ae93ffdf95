//! Network interfaces: driver, MTU, what runs there now.

use super::Check;
use crate::{
    config::{Host, Settings},
    dataplane, sys,
};

/// Drivers known to have native XDP (around Linux 6.12), as `ethtool -i` names them: advice, never a decision.
const NATIVE: &[&str] = &[
    "atlantic",
    "bnxt_en",
    "bonding",
    "dpaa_eth",
    "ena",
    "fec",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "fun",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ionic",
    "ixgbe",
    "ixgbevf",
    "lan966x-switch",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mtk_soc_eth",
    "mvneta",
    "mvpp2",
    "netsec",
    "nfp",
    "octeontx2-nicpf",
    "octeontx2-nicvf",
    "qede",
    "rvu_nicpf",
    "rvu_nicvf",
    "sfc",
    "sfc-siena",
    "st_gmac",
    "stmmac",
    "tap",
    "thunder-nicvf",
    "ti_cpsw",
    "tsnep",
    "tun",
    "veth",
    "vif",
    "virtio_net",
    "vmxnet3",
];
/// A packet, our headroom and the kernel's tail fit one 4096-byte page up to here.
const ONE_PAGE: u32 = 3498;

/// Those of the configuration, else all that have an address, but for loopback.
pub(super) fn chosen(host: &Host, settings: Option<&Settings>) -> Vec<String> {
    if let Some(settings) = settings {
        return settings.interface.iter().map(|i| i.name.as_ref().clone()).collect();
    }
    let links = host.links.iter().filter(|(name, link)| *name != "lo" && !link.addresses.is_empty());
    links.map(|(name, _)| name.clone()).collect()
}

/// Whether native XDP is likely on `interface`, and why.
pub(super) fn native(interface: &str) -> (bool, String) {
    match sys::driver(interface) {
        Ok(driver) if NATIVE.contains(&driver.as_str()) => (true, format!("{interface}: {driver} has it")),
        Ok(driver) => {
            (false, format!("{interface}: {driver} is not known to have it; mode = \"auto\" tries"))
        }
        Err(error) => (false, format!("{interface}: driver unknown ({error}); mode = \"auto\" tries")),
    }
}

pub(super) fn checks(host: &Host, interface: &str) -> Vec<Check> {
    let Some(link) = host.links.get(interface) else {
        let names: Vec<_> = host.links.keys().map(String::as_str).collect();
        let todo = format!("name one of these: {}", names.join(", "));
        return vec![Check::fail(interface, "no such interface", todo)];
    };
    let (likely, why) = native(interface);
    let mode = format!("{interface} native XDP");
    let driver = if likely {
        Check::ok(mode, why)
    } else {
        Check::warn(mode, why, "nothing: generic XDP works, at a higher cost per packet")
    };
    vec![driver, mtu(interface, link.mtu, likely), occupant(interface)]
}

fn mtu(interface: &str, mtu: u32, native: bool) -> Check {
    let name = format!("{interface} MTU");
    if native && mtu > ONE_PAGE {
        let why = format!(
            "{mtu}: drivers that can't give XDP frames in several buffers refuse it above {ONE_PAGE}"
        );
        return Check::warn(name, why, "if native XDP is refused, lower the MTU or live with generic XDP");
    }
    Check::ok(name, mtu.to_string())
}

fn occupant(interface: &str) -> Check {
    let name = format!("{interface} XDP now");
    match dataplane::attached(interface) {
        Ok(None) => Check::ok(name, "nothing attached"),
        Ok(Some(found)) => {
            let what = format!("{} (id {}), {} mode", found.name, found.id, found.mode.label());
            if found.is_ours() {
                Check::ok(name, what)
            } else {
                let todo = "remove it, or chain both with a dispatcher: a foreign program is never replaced";
                Check::fail(name, format!("a foreign program: {what}"), todo)
            }
        }
        Err(error) => Check::warn(name, format!("cannot tell: {error:#}"), "run it as root"),
    }
}
