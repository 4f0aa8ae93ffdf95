//! Configuration files for the daemon under test.

use std::{fmt::Write as _, path::Path};

/// What a test wants of the daemon; [`Config::toml`] writes it down.
#[derive(Clone, Debug)]
pub struct Config {
    /// `daemon.mode`
    pub mode: &'static str,
    /// Lines of `[[interface]]` besides its name.
    pub interface: String,
    /// Lines of `[daemon]` besides mode and places.
    pub daemon: String,
    /// Prefixes of `management.allow`.
    pub management: Vec<String>,
    /// `[[service]]` tables: name and lines.
    pub services: Vec<(String, String)>,
    /// Lines of `[metrics]` besides where it listens.
    pub metrics: String,
    /// Lines of `[cookie]`.
    pub cookie: String,
    /// Anything else, at the end.
    pub rest: String,
}

impl Default for Config {
    /// Enforce; cookies on tcp/80; nothing is limited.
    fn default() -> Self {
        Self {
            mode: "enforce",
            interface: String::new(),
            daemon: String::new(),
            management: Vec::new(),
            services: vec![("web".into(), "ports = [\"tcp/80\"]\nsyn = { mode = \"cookie\" }".into())],
            metrics: String::new(),
            cookie: String::new(),
            rest: String::new(),
        }
    }
}

impl Config {
    /// With these lines in `[[interface]]`.
    #[must_use]
    pub fn interface(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.interface);
        self
    }

    /// With these lines in `[daemon]`.
    #[must_use]
    pub fn daemon(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.daemon);
        self
    }

    /// With these lines in `[cookie]`.
    #[must_use]
    pub fn cookie(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.cookie);
        self
    }

    /// With these lines in the only `[[service]]`.
    #[must_use]
    pub fn service(mut self, lines: &str) -> Self {
        self.services = vec![("web".into(), lines.to_owned())];
        self
    }

    /// With these lines at the end.
    #[must_use]
    pub fn also(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.rest);
        self
    }

    /// The file. Whoever listens at `metrics` and where pins and sockets go is the laboratory's business.
    #[must_use]
    pub fn toml(&self, device: &str, pins: &Path, runtime: &Path, metrics: u16) -> String {
        let mut text = format!(
            "schema = 1\n[daemon]\nmode = \"{}\"\npins = \"{}\"\nruntime = \"{}\"\nstate = \"{}\"\n{}\n\
             [management]\nallow = {:?}\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n{}\n\
             [[interface]]\nname = \"{device}\"\n{}\n",
            self.mode,
            pins.display(),
            runtime.display(),
            runtime.join("state").display(),
            self.daemon,
            self.management,
            self.metrics,
            self.interface,
        );
        for (name, lines) in &self.services {
            let _ = write!(text, "[[service]]\nname = \"{name}\"\n{lines}\n");
        }
        let _ = write!(text, "[cookie]\n{}\n{}\n", self.cookie, self.rest);
        text
    }
}
