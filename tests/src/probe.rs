//! Many frames through the loaded program: the calling thread is in its namespace, and one counter is read per frame.

use anyhow::{Context as _, Result};
use aya::{
    maps::{Map, MapData, MapInfo, PerCpuArray},
    programs::{TestRun as _, TestRunOptions, Xdp, loaded_programs},
};
use filter_common::{
    abi::{Plane, counter_index, name},
    reason::Reason,
};
use filter_user::dataplane::Interface;

use crate::testrun::{ROOM, XdpMd};

/// Packets and bytes.
pub type Count = [u64; 2];

/// A program and its counters, without anything around them.
pub struct Probe<'a> {
    program: &'a Xdp,
    ifindex: u32,
    /// The counters' block.
    slot: u32,
    counters: PerCpuArray<MapData, Count>,
    out: Vec<u8>,
}

impl std::fmt::Debug for Probe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("ifindex", &self.ifindex).finish_non_exhaustive()
    }
}

impl<'a> Probe<'a> {
    /// Finds the counters of the interface's program.
    pub(crate) fn new(program: &'a Xdp, interface: &Interface) -> Result<Self> {
        let Interface { ifindex, slot, xdp_program, .. } = *interface;
        let id = xdp_program.context("no XDP program")?;
        let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
        let maps = info.context("no such program")?.map_ids()?.context("a kernel that tells (4.15)")?;
        let mut found = None;
        for map in maps {
            if MapInfo::from_id(map)?.name_as_str() == Some(name::COUNTERS) {
                found = Some(Map::from_map_data(MapData::from_id(map)?)?.try_into()?);
            }
        }
        let counters = found.context("the program has no counters")?;
        Ok(Self { program, ifindex, slot, counters, out: vec![0; ROOM] })
    }

    /// Runs the frame once: `XDP_DROP` and so on, and the frame as the program left it, without metadata.
    pub fn run(&mut self, frame: &[u8]) -> Result<(u32, &[u8])> {
        let (context, mut left) = (XdpMd::new(frame.len(), self.ifindex), [0; size_of::<XdpMd>()]);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ctx_in: Some(context.bytes()),
            ctx_out: Some(&mut left),
            ..TestRunOptions::new()
        };
        let result = self.program.test_run(options).context("BPF_PROG_TEST_RUN")?;
        let metadata = u32::from_ne_bytes([left[0], left[1], left[2], left[3]]) as usize;
        Ok((result.return_value, &self.out[metadata..result.data_size_out as usize]))
    }

    /// What that reason's counter says.
    pub fn count(&self, plane: Plane, reason: Reason) -> Result<Count> {
        let values = self.counters.get(&counter_index(self.slot, plane, reason as u8), 0)?;
        Ok(values.iter().fold([0; 2], |sum, value| [sum[0] + value[0], sum[1] + value[1]]))
    }
}
