//! The server that the visitors want: nginx where it is installed, else a small one.

use std::{
    fmt, fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use filter_tests::{
    cleanup::Folder,
    netns::Namespace,
    sched::{self, Priority},
    server::{Kind, Server},
};
use nix::unistd::Pid;

/// A server that runs until it is dropped.
pub(crate) enum Web {
    /// The real one.
    Nginx(Child, #[expect(dead_code, reason = "holds nginx's files")] Folder),
    /// Ours.
    Small(#[expect(dead_code, reason = "serves until dropped")] Server),
}

impl fmt::Display for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx(..) => "nginx",
            Self::Small(_) => "a small server of our own",
        })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        if let Self::Nginx(child, _) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the best server there is on that core.
pub(crate) fn start(namespace: &Namespace, port: u16, core: usize) -> Result<Web> {
    match nginx(namespace, port, core)? {
        Some(web) => Ok(web),
        None => Ok(Web::Small(Server::start(namespace, port, Kind::Tcp, Some(core))?)),
    }
}

/// nginx, if it is installed.
fn nginx(namespace: &Namespace, port: u16, core: usize) -> Result<Option<Web>> {
    let folder = Folder::files()?;
    let config = folder.path().join("nginx.conf");
    fs::write(&config, configuration(&folder, port))?;
    let mut command = namespace.command("nginx");
    command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        child => child.context("start nginx")?,
    };
    sched::place_thread(Pid::from_raw(child.id().cast_signed()), core, Priority::Nice(-15))?;
    for _ in 0..200 {
        if namespace.run(|| TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()) {
            return Ok(Some(Web::Nginx(child, folder)));
        }
        if child.try_wait()?.is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    bail!("nginx does not start: {}", fs::read_to_string(folder.path().join("error")).unwrap_or_default())
}

fn configuration(folder: &Folder, port: u16) -> String {
    let path = folder.path().display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = kinds.map(|kind| format!("{kind}_temp_path {path};")).join("\n");
    format!(
        "daemon off; master_process off; worker_processes 1; pid {path}/pid; error_log {path}/error;\n\
         events {{ worker_connections 16384; }}\n\
         http {{ access_log off; {paths}\n\
         server {{ listen {port} backlog=4096; location / {{ return 200 \"ok\\n\"; }} }} }}\n"
    )
}
