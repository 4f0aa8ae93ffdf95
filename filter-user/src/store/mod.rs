//! What has to outlive the daemon and the host's next boot: small files in a folder of root's own.
//!
//! The major components are:
//! - [`frame`]: a file's bytes: magic, version, length, SHA-256, then JSON.
//! - [`folder`]: the folder (`daemon.state`): whole files or none, damaged ones put aside.
//!
//! The data path needs none of it: with a folder that is damaged, full or read-only the daemon filters all the same.

pub mod folder;
pub mod frame;
#[cfg(test)]
mod tests;

pub use self::{folder::Folder, frame::Damage};
