//! What is loaded: private filters and programs to compare them with.

use anyhow::{Context as _, Result};
use filter_common::ban::Origin;
use ipnet::{IpNet, Ipv4Net};

use super::jail::Jail;
use crate::{
    daemon::secrets::{self, Secrets},
    dataplane::{
        self, Dataplane, New,
        measure::{self, Reference, Wrapper},
        plan::Plan,
    },
};

/// A private filter with its wrapper.
pub struct Stand {
    /// Its maps.
    pub dataplane: Dataplane,
    /// Its XDP program.
    pub wrapper: Wrapper,
    /// What it was made from.
    pub plan: Plan,
    _secrets: Secrets,
}

impl Stand {
    /// Loads it into namespaces of its own.
    pub fn new(jail: &mut Jail, plan: Plan, bans: &[Ipv4Net]) -> Result<Self> {
        jail.change_network()?;
        let dataplane = dataplane::apply(&plan)?;
        let id = dataplane.interfaces()?.first().and_then(|interface| interface.xdp_program);
        let program = measure::program(id.context("no XDP program")?)?;
        let keys = secrets::Settings {
            period: std::time::Duration::from_hours(1),
            grace: std::time::Duration::ZERO,
            key_file: None,
        };
        let secrets = Secrets::start(&dataplane, keys)?;
        let new = |net: &Ipv4Net| New {
            prefix: IpNet::from(*net),
            length: None,
            origin: Origin::Operator,
            reason: "bench",
            age: std::time::Duration::ZERO,
        };
        dataplane.ban(&bans.iter().map(new).collect::<Vec<_>>())?;
        jail.change_network()?;
        Ok(Self { wrapper: Wrapper::around(&program)?, dataplane, plan, _secrets: secrets })
    }
}

/// Programs that do next to nothing.
pub struct References {
    /// Drops, without a wrapper.
    pub bare: Wrapper,
    /// Drops: what everything is compared with.
    pub empty: Wrapper,
    /// Passes.
    pub pass: Wrapper,
    /// Sends back.
    pub tx: Wrapper,
    /// Make the wrapper undo something.
    pub moves: [Wrapper; 3],
}

impl References {
    /// Loads them.
    pub fn new(jail: &mut Jail) -> Result<Self> {
        let mut wrapped = |reference| {
            jail.change_network()?;
            Wrapper::reference(reference)
        };
        let [head, tail, meta] = Reference::MOVES;
        let moves = [wrapped(head)?, wrapped(tail)?, wrapped(meta)?];
        let (empty, pass, tx) =
            (wrapped(Reference::Drop)?, wrapped(Reference::Pass)?, wrapped(Reference::Tx)?);
        jail.change_network()?;
        Ok(Self { bare: Wrapper::bare(Reference::Drop)?, empty, pass, tx, moves })
    }
}
