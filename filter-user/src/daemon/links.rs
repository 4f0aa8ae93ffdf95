//! Interfaces and addresses come, go and change: rtnetlink says so at once.
//!
//! What has changed is not read from the messages: a look at the host finds it out, and cannot miss what was lost on the way.

use std::{io, sync::Arc, thread, time::Duration};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::sync::Notify;
use tracing::warn;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR` (Linux, include/uapi/linux/rtnetlink.h).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// One change makes several messages: they are waited for.
const SETTLE: Duration = Duration::from_millis(20);
/// A host whose interfaces change all the time is looked at so often.
const PAUSE: Duration = Duration::from_millis(80);

/// Tells whenever something may have changed; never where there is no rtnetlink, so look now and then all the same.
///
/// A thread of its own waits for the kernel, until the process ends.
#[must_use]
pub fn watch() -> Arc<Notify> {
    let changed = Arc::new(Notify::new());
    let teller = Arc::clone(&changed);
    let begun = open().and_then(|socket| {
        thread::Builder::new().name("rtnetlink".to_owned()).spawn(move || follow(&socket, &teller))
    });
    if let Err(error) = begun {
        warn!("no word from rtnetlink, changes of interfaces are found late: {error}");
    }
    changed
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(0, GROUPS))?;
    Ok(socket)
}

fn follow(socket: &Socket, changed: &Notify) {
    while let Ok(()) = receive(socket, 0) {
        thread::sleep(SETTLE);
        while let Ok(()) = receive(socket, libc::MSG_DONTWAIT) {}
        changed.notify_one();
        thread::sleep(PAUSE);
    }
}

/// One message. That some were lost (`ENOBUFS`) is one, too.
fn receive(socket: &Socket, flags: libc::c_int) -> io::Result<()> {
    match socket.recv(&mut &mut [0; 8192][..], flags) {
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result.map(drop),
    }
}
