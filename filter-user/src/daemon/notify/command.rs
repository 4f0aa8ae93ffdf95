//! A program of the operator's: the notification as JSON on its standard input.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, geteuid},
};

use super::{Failed, Notice};
use crate::config::{schema::Notify, value::Origin};

/// Where it looks for other programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of what it complains about that are told.
const TOLD: u64 = 300;
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn send(target: &Notify, notice: &Notice) -> Result<(), Failed> {
    let Some(Origin::File(path)) = target.to.as_ref().map(AsRef::as_ref) else {
        return Err("`to` is no program".into());
    };
    is_ours(path)?;
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let said = tempfile::tempfile().map_err(told)?;
    let json = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    let mut child = Command::new(path)
        .args(target.args.iter().map(AsRef::as_ref))
        .env_clear()
        .env("PATH", PATH)
        .env("FLOODWALL_EVENT", notice.event.label())
        .env("FLOODWALL_INCIDENT", notice.incident())
        .env("FLOODWALL_SERVICE", notice.service())
        .env("FLOODWALL_HOST", &notice.host)
        .env("FLOODWALL_LINE", notice.line())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(said.try_clone().map_err(told)?)
        // With whatever it starts, so that all of it can be ended.
        .process_group(0)
        .spawn()
        .map_err(told)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A few kilobytes: they fit the pipe, whether it reads them or not.
        let _ = stdin.write_all(&json);
    }
    match wait(&mut child, *target.timeout.as_ref()) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{}: {status}{}", path.display(), complaint(said)).into()),
        None => {
            let why = format!("{}: not done within {} s", path.display(), target.timeout.as_ref().as_secs());
            Err(why.into())
        }
    }
}

/// Whoever may write it may do what the daemon may.
pub(super) fn is_ours(path: &Path) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |why: &str| Err(format!("{}: {why}", path.display()));
    if !found.is_file() || found.mode() & 0o111 == 0 {
        return wrong("no program: chmod 0755");
    }
    if found.uid() != 0 && found.uid() != geteuid().as_raw() {
        return wrong("another user's: chown root");
    }
    if found.mode() & 0o022 != 0 {
        return wrong("others may change it: chmod go-w");
    }
    Ok(())
}

/// How it ended; nothing if it had to be ended.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < timeout {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => sleep(LOOK),
            Err(_) => break,
        }
    }
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
    None
}

/// The end of what it said.
fn complaint(mut said: File) -> String {
    let mut text = Vec::new();
    let length = said.metadata().map_or(0, |found| found.len());
    let read = said
        .seek(SeekFrom::Start(length.saturating_sub(TOLD)))
        .and_then(|_| said.take(TOLD).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if read.is_err() || text.is_empty() { String::new() } else { format!(": {text}") }
}
