//! The real `floodwall` binary, running in the server's namespace with a folder of its own for everything.

use std::{
    env,
    ffi::CString,
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::unix::{ffi::OsStrExt as _, net::UnixDatagram, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use filter_common::reason::Reason;
use filter_user::dataplane::{self, Dataplane};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cleanup::Folder,
    config::Config,
    metrics::Metrics,
    netns::Namespace,
    pair::{CLIENT_V4, End},
    sandbox::Sandbox,
};

/// How long the daemon may take to be ready: verification of the programs is most of it.
const READY: Duration = Duration::from_secs(20);
/// The port of `/metrics`. The namespace is ours, so it is free.
pub const METRICS: u16 = 9980;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// An installation of Floodwall: configuration, pins, sockets, and the daemon while it runs. Dropped, all of
/// it goes, the filter included.
#[derive(Debug)]
pub struct Floodwall {
    end: End,
    pins: Folder,
    files: Folder,
    daemon: Option<Child>,
}

impl Floodwall {
    /// Writes the configuration down and starts the daemon; returns once it filters.
    pub fn start(end: &End, config: &Config) -> Result<Self> {
        let mut floodwall = Self::stopped(end, config)?;
        floodwall.run()?;
        Ok(floodwall)
    }

    /// Only writes the configuration down.
    pub fn stopped(end: &End, config: &Config) -> Result<Self> {
        let (pins, files) = (Folder::pins()?, Folder::files()?);
        let floodwall = Self { end: end.clone(), pins, files, daemon: None };
        floodwall.configure(config)?;
        fs::write(floodwall.files.path().join("resolv.conf"), format!("nameserver {CLIENT_V4}\n"))?;
        Ok(floodwall)
    }

    /// Writes another configuration; nothing reads it yet.
    pub fn configure(&self, config: &Config) -> Result<()> {
        self.write(&self.toml(config))
    }

    /// The text of a configuration for this installation.
    #[must_use]
    pub fn toml(&self, config: &Config) -> String {
        config.toml(&self.end.device, &self.pins(), self.files.path(), METRICS)
    }

    /// Writes any text as the configuration.
    pub fn write(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.config(), text)?)
    }

    /// The same, text or not.
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(self.config(), bytes)?)
    }

    /// The configuration as it is written now.
    pub fn written(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.config())?)
    }

    /// Writes a file of `conf.d`.
    pub fn write_beside(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.files.path().join(filter_user::config::source::FOLDER);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), text)?)
    }

    /// Where its configuration is.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.files.path().join("floodwall.toml")
    }

    /// Where its links and maps are pinned.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.pins.path().join("floodwall")
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.files.path().join(filter_user::daemon::SOCKET)
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("floodwall is not running")?.id())
    }

    /// Resident bytes of the daemon.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib << 10)
    }

    /// Where its state is kept.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.files.path().join("state")
    }

    fn log(&self) -> PathBuf {
        self.files.path().join("log")
    }

    /// What the daemon has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// A command in the server's namespace; it dies with the calling thread.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.end.namespace.command(binary()?);
        command.args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// A verb of the command line, to its end: `{socket}`, `{pins}`, `{config}` and `{runtime}` stand for this
    /// installation's own.
    pub fn cli(&self, line: &str) -> Result<Output> {
        self.cli_from(line, None)
    }

    /// The same, typed into an SSH connection (`SSH_CONNECTION`).
    pub fn cli_from(&self, line: &str, ssh: Option<&str>) -> Result<Output> {
        let line = line
            .replace("{socket}", &self.socket().to_string_lossy())
            .replace("{pins}", &self.pins().to_string_lossy())
            .replace("{config}", &self.config().to_string_lossy())
            .replace("{runtime}", &self.files.path().to_string_lossy());
        let mut command = self.command(&line.split_whitespace().collect::<Vec<_>>())?;
        command.env_remove("SSH_CONNECTION").envs(ssh.map(|ssh| ("SSH_CONNECTION", ssh)));
        Ok(command.output()?)
    }

    /// The same; anything but success is an error with what it said.
    pub fn succeed(&self, line: &str) -> Result<String> {
        let output = self.cli(line)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "floodwall {line}: {} {said}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the daemon and waits until it says `READY=1`; returns how long that took.
    pub fn run(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let notify = self.spawn(None, &[])?;
        self.until_ready(&notify)?;
        Ok(started.elapsed())
    }

    /// The same with more arguments.
    pub fn run_with(&mut self, arguments: &[&str]) -> Result<()> {
        let notify = self.spawn(None, arguments)?;
        self.until_ready(&notify)
    }

    /// Starts the daemon and does not wait.
    pub fn run_away(&mut self) -> Result<()> {
        self.spawn(None, &[]).map(drop)
    }

    /// The same, with systemd's watchdog; returns where the keepalives arrive.
    pub fn run_watched(&mut self, period: Duration) -> Result<UnixDatagram> {
        let notify = self.spawn(Some(period), &[])?;
        self.until_ready(&notify)?;
        Ok(notify)
    }

    fn until_ready(&mut self, notify: &UnixDatagram) -> Result<()> {
        let started = Instant::now();
        notify.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut message = [0; 512];
        loop {
            if let Ok(len) = notify.recv(&mut message)
                && message[..len].split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
            {
                return Ok(());
            }
            if let Some(status) = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten()) {
                self.daemon = None;
                bail!("floodwall ended: {status}\n{}", self.said());
            }
            ensure!(started.elapsed() < READY, "floodwall is not ready:\n{}", self.said());
        }
    }

    /// Starts the daemon; what it tells systemd (`sd_notify`) arrives at the socket.
    fn spawn(&mut self, watchdog: Option<Duration>, arguments: &[&str]) -> Result<UnixDatagram> {
        let (mut command, notify) = self.start_command(|| Ok(()))?;
        command.args(arguments);
        if let Some(period) = watchdog {
            command.env("WATCHDOG_USEC", period.as_micros().to_string());
        }
        self.daemon = Some(command.spawn().context("start floodwall")?);
        Ok(notify)
    }

    /// The command that starts the daemon, and where it tells how it is (`sd_notify`). The new process does `first` before the
    /// sandbox, which forbids much.
    pub fn start_command(&self, first: fn() -> io::Result<()>) -> Result<(Command, UnixDatagram)> {
        let path = self.files.path().join("notify");
        let _ = fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path)?;
        let log = fs::File::options().append(true).create(true).open(self.log())?;
        let mut command = self.command(&["run", "--config"])?;
        command.arg(self.config()).env("NOTIFY_SOCKET", path).stdout(log.try_clone()?).stderr(log);
        self.pose(&mut command, first)?;
        Ok((command, notify))
    }

    /// Another boot, as far as the next daemon can tell.
    pub fn boot_anew(&self) -> Result<()> {
        let now = std::time::UNIX_EPOCH.elapsed()?.as_micros() as u64 & 0xffff_ffff_ffff;
        let id = format!("{:08x}-0000-4000-8000-{now:012x}\n", std::process::id());
        Ok(fs::write(self.files.path().join("boot_id"), id)?)
    }

    /// What the daemon sees in the place of this machine's files: a resolver that the client's address has, and the
    /// boot that the test says; and systemd's sandbox, if the environment wants it.
    fn pose(&self, command: &mut Command, first: fn() -> io::Result<()>) -> Result<()> {
        let sandbox = Sandbox::from_env()?;
        let own = [CString::new(self.files.path().as_os_str().as_bytes())?];
        let written = String::from_utf8_lossy(&self.written().unwrap_or_default()).into_owned();
        let group =
            written.lines().find_map(|line| line.strip_prefix("group = \"")?.strip_suffix('"')?.parse().ok());
        let files: Vec<_> = [("resolv.conf", "/etc/resolv.conf"), ("boot_id", BOOT_ID)]
            .into_iter()
            .map(|(name, path)| (self.files.path().join(name), path))
            .filter(|(file, path)| file.exists() && Path::new(path).exists())
            .collect();
        // SAFETY: system calls only, which may be made between fork and exec.
        unsafe {
            command.pre_exec(move || {
                first()?;
                unshare(CloneFlags::CLONE_NEWNS)?;
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
                for (file, path) in &files {
                    mount(Some(file), *path, none, MsFlags::MS_BIND, none)?;
                }
                sandbox.map_or(Ok(()), |sandbox| sandbox.enter(&own, group))
            })
        };
        Ok(())
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let daemon = self.daemon.as_ref().context("floodwall is not running")?;
        Ok(kill(Pid::from_raw(daemon.id().cast_signed()), signal)?)
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let mut daemon = self.daemon.take().context("floodwall is not running")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while daemon.try_wait()?.is_none() {
            if Instant::now() > deadline {
                daemon.kill()?;
                daemon.wait()?;
                bail!("floodwall did not end on {signal}:\n{}", self.said());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The counters as they are pinned; works without a daemon.
    pub fn pinned(&self) -> Result<Dataplane> {
        self.end.namespace.run(|| dataplane::open(&self.pins()))
    }

    /// Packets by reason as they are pinned.
    pub fn packets(&self, reason: Reason) -> Result<u64> {
        let dataplane = self.pinned()?;
        let counts = self.end.namespace.run(|| dataplane.counters())?;
        Ok(counts.iter().filter(|count| count.reason == reason).map(|count| count.packets).sum())
    }

    /// One page of the daemon's HTTP server.
    pub fn get(&self, path: &str) -> Result<String> {
        let (head, body) = get(&self.end.namespace, METRICS, "1.1", path)?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(body)
    }

    /// The metrics as they are now.
    pub fn scrape(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics")?)
    }
}

impl Drop for Floodwall {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Head and body of what a server on that port of the namespace's loopback answers.
pub(crate) fn get(namespace: &Namespace, port: u16, version: &str, path: &str) -> Result<(String, String)> {
    let answer = namespace.run(|| -> Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(socket, "GET {path} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// `FLOODWALL_BIN`, else the binary of the same build as this one.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("FLOODWALL_BIN") {
        return Ok(path.into());
    }
    let ours = env::current_exe()?;
    let found =
        ours.ancestors().skip(1).take(2).map(|folder| folder.join("floodwall")).find(|path| path.is_file());
    let folder = ours.parent().unwrap_or(Path::new(".")).display();
    found.with_context(|| {
        format!("no floodwall near {folder}: cargo build -p filter-user (same profile) first")
    })
}
