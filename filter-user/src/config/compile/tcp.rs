//! What the kernel's own SYN-ACK would announce.

use filter_common::config::{LocalTcp, tcp};

use crate::config::host::Sysctls;

/// `TCP_MAX_WSCALE` (RFC 7323 section 2.3)
const MAX_SCALE: u32 = 14;
/// `TCPOLEN_TSTAMP_ALIGNED`
const TIMESTAMPS_LEN: u32 = 12;

/// The values for an interface with this MTU.
pub(super) fn local(sysctls: &Sysctls, mtu: u32) -> LocalTcp {
    let mss = |headers: u32| u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX);
    let mut flags = 0;
    for (on, flag) in [
        (sysctls.timestamps, tcp::TIMESTAMPS),
        (sysctls.sack, tcp::SACK),
        (sysctls.window_scaling, tcp::WINDOW_SCALING),
        (sysctls.ecn, tcp::ECN),
    ] {
        flags |= if on { flag } else { 0 };
    }
    LocalTcp {
        mss_v4: mss(40),
        mss_v6: mss(60),
        window: window(sysctls, u32::from(mss(40))),
        flags,
        window_scale: window_scale(sysctls),
        ttl: sysctls.ttl,
        reserved: [0; 6],
    }
}

/// `tcp_select_initial_window`: what is left of half the initial buffer (`tcp_win_from_space`) in whole
/// segments, cut at what fits the field. A SYN-ACK is never scaled (RFC 7323 section 2.2).
fn window(sysctls: &Sysctls, mss: u32) -> u16 {
    let space = sysctls.rmem[1] / 2;
    let segment = if sysctls.timestamps { mss.saturating_sub(TIMESTAMPS_LEN) } else { mss };
    let whole = if segment > 0 && space > segment { space - space % segment } else { space };
    u16::try_from(whole).unwrap_or(u16::MAX)
}

/// `tcp_select_initial_window`: enough for the largest buffer that the host allows.
fn window_scale(sysctls: &Sysctls) -> u8 {
    if !sysctls.window_scaling {
        return 0;
    }
    let space = sysctls.rmem[2].max(sysctls.rmem_max).max(1);
    space.ilog2().saturating_sub(15).min(MAX_SCALE) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announces_what_a_bare_kernel_announces() {
        // Seen on the wire: Linux 6.18, defaults, MTU 1500, client with all options.
        let announced = local(&Sysctls::default(), 1500);
        assert_eq!((announced.mss_v4, announced.mss_v6), (1460, 1440));
        assert_eq!((announced.window, announced.window_scale, announced.ttl), (65160, 7, 64));
        assert_eq!(announced.flags, tcp::TIMESTAMPS | tcp::SACK | tcp::WINDOW_SCALING | tcp::ECN);
    }

    #[test]
    fn follows_the_sysctls() {
        let plain = Sysctls { timestamps: false, window_scaling: false, ..Sysctls::default() };
        let announced = local(&plain, 1500);
        assert_eq!((announced.window, announced.window_scale), (64240, 0));
        assert_eq!(announced.flags, tcp::SACK | tcp::ECN);
    }

    #[test]
    fn survives_any_number() {
        for mtu in [0, 39, 40, 68, 1280, 9000, 65535, u32::MAX] {
            for rmem in [0, 1, 4096, u32::MAX] {
                let odd = Sysctls { rmem: [rmem; 3], rmem_max: rmem, ..Sysctls::default() };
                assert!(local(&odd, mtu).window_scale <= 14);
            }
        }
    }
}
