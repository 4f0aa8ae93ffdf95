//! One datagram to a socket of this host that somebody else may have stopped to read.

use std::{os::unix::net::UnixDatagram, path::Path, time::Duration};

/// The longest wait for room in the receiver's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn send(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let socket = UnixDatagram::unbound();
    let sent = socket.and_then(|socket| {
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(path)?;
        socket.send(bytes)
    });
    sent.map(|_| ()).map_err(|error| format!("{}: {error}", path.display()))
}
