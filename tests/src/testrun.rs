//! `BPF_PROG_TEST_RUN`: one frame through one loaded program.

use anyhow::{Context as _, Result};
use aya::programs::{TestRun, TestRunOptions, Xdp};

use crate::netns::Namespace;

/// Longest frame that comes back.
pub(crate) const ROOM: usize = 1 << 17;

/// `struct xdp_md` (linux/bpf.h).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct XdpMd {
    pub(crate) data: u32,
    pub(crate) data_end: u32,
    pub(crate) data_meta: u32,
    pub(crate) ingress_ifindex: u32,
    pub(crate) rx_queue_index: u32,
    pub(crate) egress_ifindex: u32,
}

impl XdpMd {
    pub(crate) fn new(len: usize, ifindex: u32) -> Self {
        Self { data_end: len as u32, ingress_ifindex: ifindex, ..Self::default() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: six u32 without padding.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

/// What a program made of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `XDP_DROP` and so on.
    pub action: u32,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
}

/// Runs the program once, as if the frame had come in on that device of `namespace`: socket look-ups see the
/// namespace's sockets. The kernel refuses frames below 14 bytes.
pub fn xdp(program: &Xdp, namespace: &Namespace, ifindex: u32, frame: &[u8]) -> Result<Outcome> {
    let context = XdpMd::new(frame.len(), ifindex);
    namespace.run(|| {
        let (mut out, mut left) = (vec![0; ROOM], [0; size_of::<XdpMd>()]);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(context.bytes()),
            ctx_out: Some(&mut left),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
        out.truncate(result.data_size_out as usize);
        // Metadata come first; `data` says how long they are.
        let metadata = u32::from_ne_bytes([left[0], left[1], left[2], left[3]]);
        out.drain(..metadata as usize);
        Ok(Outcome { action: result.return_value, frame: out })
    })
}
