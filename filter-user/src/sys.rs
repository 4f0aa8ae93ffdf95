//! The few questions that only an `ioctl` answers: `/sys/class/net` shows the namespace that mounted it,
//! which need not be ours.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::{
    libc::{self, c_char},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

nix::ioctl_readwrite_bad!(
    /// `netdevice(7)`
    siocgifmtu,
    libc::SIOCGIFMTU,
    libc::ifreq
);
nix::ioctl_readwrite_bad!(
    /// Linux, include/uapi/linux/ethtool.h
    siocethtool,
    libc::SIOCETHTOOL,
    libc::ifreq
);

/// `ETHTOOL_GDRVINFO` and its answer (Linux, include/uapi/linux/ethtool.h).
const ETHTOOL_GDRVINFO: u32 = 3;

#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    /// `version`, `fw_version`, `bus_info`, `erom_version`, `reserved2`
    rest: [u8; 32 * 4 + 12],
    /// `n_priv_flags`, `n_stats`, `testinfo_len`, `eedump_len`, `regdump_len`
    numbers: [u32; 5],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain old data, all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as c_char;
    }
    Ok(request)
}

/// The MTU of an interface.
pub fn mtu(name: &str) -> io::Result<u32> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request(name)?;
    // SAFETY: `request` is a valid `ifreq` with a terminated name; the kernel writes only into it.
    unsafe { siocgifmtu(socket.as_raw_fd(), &raw mut request) }?;
    // SAFETY: SIOCGIFMTU filled this field of the union in.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The name of an interface's driver.
pub fn driver(name: &str) -> io::Result<String> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut info =
        DriverInfo { cmd: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 32 * 4 + 12], numbers: [0; 5] };
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: `ifru_data` points to a whole `struct ethtool_drvinfo` that outlives the call.
    unsafe { siocethtool(socket.as_raw_fd(), &raw mut request) }?;
    let text: Vec<u8> = info.driver.into_iter().take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Supplementary groups of a unix socket's peer when it connected (`SO_PEERGROUPS`, Linux 4.13).
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let room = groups.len();
        let mut length = libc::socklen_t::try_from(room * 4).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes into `groups`, which has as many.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let found = length as usize / 4;
        if result == 0 {
            groups.truncate(found);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // Too many for the room: now we know how many.
        if error.raw_os_error() != Some(libc::ERANGE) || found <= room {
            return Err(error);
        }
        groups.resize(found, 0);
    }
}

/// Hands free memory back to the kernel: building the tables of large lists leaves tens of megabytes of it.
pub fn trim_memory() {
    // SAFETY: takes no pointer, may be called at any time, and is said to be thread-safe.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether the kernel holds the wall clock to be synchronised (`adjtimex(2)`).
#[must_use]
pub fn clock_is_synchronised() -> bool {
    // SAFETY: `timex` is plain old data, all zero is a valid value and asks for no change.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is valid for writes; with `modes` 0 the call only reads the clock.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    state >= 0 && timex.status & libc::STA_UNSYNC == 0
}
