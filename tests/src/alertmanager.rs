//! A real Alertmanager in the server's namespace.

use std::{
    env, fs,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{cleanup::Folder, daemon::get, netns::Namespace, stand::wait_for};

/// Its port. The namespace is ours, so it is free.
const PORT: u16 = 9093;

/// Its package's templates, at a fixed place, are empty where the program is there without its package: it tells nobody.
const WITH_TEMPLATES: &str = "\
    folder=/usr/share/prometheus/alertmanager
    if ! [ -e $folder/default.tmpl ]; then
        mount -t tmpfs none /usr/share && mkdir -p $folder && touch $folder/default.tmpl $folder/email.tmpl || exit 1
    fi
    exec \"$@\"";

/// The server. Dropped, it ends and its data goes.
#[derive(Debug)]
pub struct Alertmanager {
    namespace: Namespace,
    server: Child,
    _files: Folder,
}

impl Alertmanager {
    /// Starts it, with one receiver that tells nobody. `ALERTMANAGER` may name the program.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let files = Folder::files()?;
        let at = |name: &str| files.path().join(name);
        fs::write(at("alertmanager.yml"), "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n")?;
        let log = fs::File::create(at("log"))?;
        let program = env::var_os("ALERTMANAGER").unwrap_or_else(|| "prometheus-alertmanager".into());
        let mut command = namespace.command("unshare");
        command
            .args(["--mount", "sh", "-c", WITH_TEMPLATES, "sh"])
            .arg(program)
            .arg(format!("--config.file={}", at("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let server = command
            .spawn()
            .context("Alertmanager comes with its package (prometheus-alertmanager); ALERTMANAGER may name the program")?;
        let started = Self { namespace: namespace.clone(), server, _files: files };
        wait_for("Alertmanager", Duration::from_secs(20), || Ok(started.alerts().is_ok()))?;
        Ok(started)
    }

    /// Its address for others in the namespace.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{PORT}")
    }

    /// Alerts that fire now, by its own API.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let (head, body) = get(&self.namespace, PORT, "1.0", "/api/v2/alerts")?;
        anyhow::ensure!(head.contains(" 200 "), "{head}\n{body}");
        Ok(serde_json::from_str(&body)?)
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
