//! One datagram to a socket of this host that somebody else may have stopped to read.

use std::{os::unix::net::UnixDatagram, path::Path, time::Duration};

use super::failed::Failed;
use crate::config::{schema::Notify, value::Origin};

/// The longest wait for room in the receiver's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

/// To where the target says, or to the `usual` place.
pub(super) fn send(target: &Notify, usual: &str, bytes: &[u8]) -> Result<(), Failed> {
    let path = match target.to.as_ref().map(AsRef::as_ref) {
        Some(Origin::File(path)) => path.as_path(),
        _ => Path::new(usual),
    };
    let socket = UnixDatagram::unbound();
    let sent = socket.and_then(|socket| {
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(path)?;
        socket.send(bytes)
    });
    sent.map(|_| ()).map_err(|error| format!("{}: {error}", path.display()).into())
}
