//! The laboratory's own kernel programs: loaded, attached, counted.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::PerCpuArray,
    programs::{SchedClassifier, TcAttachType, Xdp, XdpMode, tc},
};
use filter_user::dataplane::object;

use crate::{device, netns::Namespace};

#[path = "../../filter-ebpf/src/bin/lab/abi.rs"]
pub mod abi;

pub use abi::Tally;

/// One instance of the object with maps of its own. What it attached is detached when it is dropped.
#[derive(Debug)]
pub struct Lab(Ebpf);

// SAFETY: plain numbers without padding.
unsafe impl aya::Pod for abi::Generate {}

impl Lab {
    /// Loads the maps; programs are loaded when they are attached.
    pub fn load() -> Result<Self> {
        Ok(Self(EbpfLoader::new().load(object::LAB).context("load the laboratory's object")?))
    }

    /// Loads the flood's program with what it shall send.
    pub(crate) fn generator(generate: &abi::Generate) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("GENERATE", generate, true);
        let mut lab = Self(loader.load(object::LAB).context("load the laboratory's object")?);
        lab.xdp("generate")?.load()?;
        Ok(lab)
    }

    /// An XDP program of the object.
    pub(crate) fn xdp(&mut self, name: &str) -> Result<&mut Xdp> {
        let program = self.0.program_mut(name).with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
    }

    /// The flood's program, loaded.
    pub(crate) fn generate(&self) -> Result<&Xdp> {
        Ok(self.0.program("generate").context("no program generate")?.try_into()?)
    }

    /// Attaches an XDP program natively to a device in `namespace`.
    pub fn attach_xdp(&mut self, namespace: &Namespace, name: &str, interface: &str) -> Result<()> {
        let program = self.xdp(name)?;
        program.load().with_context(|| format!("load {name}"))?;
        namespace.run(|| {
            program.attach_to_if_index(device::index(interface)?, XdpMode::Driver)?;
            Ok(())
        })
    }

    /// Pins an XDP program, for somebody else to use.
    pub fn pin_xdp(&mut self, name: &str, path: &Path) -> Result<()> {
        let program = self.xdp(name)?;
        program.load().with_context(|| format!("load {name}"))?;
        program.pin(path).with_context(|| format!("pin {}", path.display()))
    }

    /// Pins a tc program.
    pub fn pin_tc(&mut self, name: &str, path: &Path) -> Result<()> {
        let program: &mut SchedClassifier =
            self.0.program_mut(name).context("no such program")?.try_into()?;
        program.load().with_context(|| format!("load {name}"))?;
        program.pin(path).with_context(|| format!("pin {}", path.display()))
    }

    /// Attaches a tc program behind what is attached already.
    pub fn attach_tc(
        &mut self,
        namespace: &Namespace,
        name: &str,
        interface: &str,
        end: TcAttachType,
    ) -> Result<()> {
        let program = self.0.program_mut(name).with_context(|| format!("no program {name}"))?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load().with_context(|| format!("load {name}"))?;
        namespace.run(|| {
            let options = tc::TcAttachOptions::TcxOrder(aya::programs::LinkOrder::last());
            program.attach_with_options(interface, end, options)?;
            Ok(())
        })
    }

    /// One tally, over all CPUs.
    pub fn tally(&self, what: Tally) -> Result<u64> {
        let map = self.0.map("TALLY").context("no map TALLY")?;
        let map: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
        Ok(map.get(&(what as u32), 0)?.iter().sum())
    }
}
