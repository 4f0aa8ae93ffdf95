//! Settings of one network device that `ip` does not know: offloads and threaded NAPI.

use std::{
    ffi::CString,
    fs::File,
    io::Write as _,
    net::UdpSocket,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

// linux/ethtool.h, linux/sockios.h
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_SCHANNELS: u32 = 0x3d;
const ETH_FLAG_TXVLAN: u32 = 1 << 7;
/// Receive and transmit checksums, scatter-gather, TSO, GSO.
const ETHTOOL_OFFLOADS: [u32; 5] = [0x15, 0x17, 0x19, 0x1f, 0x24];

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// One `SIOCETHTOOL` call on a device of the calling thread's namespace; `T` is what the command, its first word, takes.
fn call<T>(device: &str, argument: &mut T) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut *argument).cast();
    // SAFETY: the request and its argument live until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    Errno::result(result).map(drop).with_context(|| format!("ethtool {device}"))
}

/// A command that takes one value; returns what the kernel put into it.
fn ethtool(device: &str, command: u32, data: u32) -> Result<u32> {
    let mut argument = Value { command, data };
    call(device, &mut argument)?;
    Ok(argument.data)
}

/// Makes the device send from that many queues.
pub fn transmit_queues(device: &str, number: u32) -> Result<()> {
    // struct ethtool_channels: the command, four maxima, then receive, transmit, other and combined.
    let mut channels = [0_u32; 9];
    channels[0] = ETHTOOL_GCHANNELS;
    call(device, &mut channels)?;
    (channels[0], channels[6]) = (ETHTOOL_SCHANNELS, number);
    call(device, &mut channels)
}

/// Turns checksum and segmentation offload off, so that XDP sees what a wire would carry.
pub fn without_offloads(device: &str) {
    for command in ETHTOOL_OFFLOADS {
        // Some are fixed on some kernels; what can be turned off is.
        let _ = ethtool(device, command, 0);
    }
}

/// Turns GRO off and on while the device is up: NAPI runs and `XDP_REDIRECT` into it works.
pub fn with_gro(device: &str) -> Result<()> {
    ethtool(device, ETHTOOL_SGRO, 0)?;
    ethtool(device, ETHTOOL_SGRO, 1).map(drop)
}

/// Makes the stack write VLAN tags into the frame, where XDP sees them.
pub fn without_vlan_offload(device: &str) -> Result<()> {
    let flags = ethtool(device, ETHTOOL_GFLAGS, 0)?;
    ethtool(device, ETHTOOL_SFLAGS, flags & !ETH_FLAG_TXVLAN).map(drop)
}

/// The device's number in the calling thread's namespace.
pub fn index(device: &str) -> Result<u32> {
    let name = CString::new(device)?;
    // SAFETY: a string with its end.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(std::io::Error::last_os_error()).with_context(|| format!("no device {device}")),
        index => Ok(index),
    }
}

/// Gives the device's NAPI kernel threads of their own.
pub fn threaded_napi(device: &str) -> Result<()> {
    set(device, "threaded", "1")
}

/// Makes the device collect what it receives for that long before the stack hears of it.
pub fn coalesce(device: &str, time: Duration) -> Result<()> {
    set(device, "gro_flush_timeout", &time.as_nanos().to_string())?;
    set(device, "napi_defer_hard_irqs", "100")
}

/// Writes a setting below `/sys/class/net`.
///
/// sysfs shows the namespace of whoever mounted it: a mount that nobody else sees is made for one write.
fn set(device: &str, name: &str, value: &str) -> Result<()> {
    let mount = sysfs().context("mount sysfs for this namespace")?;
    let path = CString::new(format!("class/net/{device}/{name}"))?;
    // SAFETY: a string with its end; the descriptor is ours and open.
    let file = unsafe { libc::openat(mount.as_raw_fd(), path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    let file = Errno::result(file).with_context(|| format!("open {}", path.to_string_lossy()))?;
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { File::from_raw_fd(file) }.write_all(value.as_bytes())?)
}

/// A detached mount of sysfs (Linux 5.2).
fn sysfs() -> Result<OwnedFd> {
    const FSCONFIG_CMD_CREATE: libc::c_long = 6;
    let context = descriptor(libc::SYS_fsopen, [c"sysfs".as_ptr() as libc::c_long, 0, 0])?;
    let raw = libc::c_long::from(context.as_raw_fd());
    let none: libc::c_long = 0;
    // SAFETY: this command takes no further arguments.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, none, none, none) })?;
    descriptor(libc::SYS_fsmount, [raw, 0, 0])
}

/// A system call that returns a new descriptor.
fn descriptor(call: libc::c_long, arguments: [libc::c_long; 3]) -> Result<OwnedFd> {
    let [a, b, c] = arguments;
    // SAFETY: the two calls above: a string with its end and flags, or a descriptor and flags.
    let raw = Errno::result(unsafe { libc::syscall(call, a, b, c) })?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw.try_into()?) })
}
