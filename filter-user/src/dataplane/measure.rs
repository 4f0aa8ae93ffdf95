//! Timing of loaded XDP programs: repeated `BPF_PROG_TEST_RUN` on a frame that is as it was each time.
//!
//! The kernel hands one buffer to all repetitions. So what runs is a wrapper (filter-ebpf/src/bin/bench.rs), which
//! undoes what the program under test did to the frame and calls it by a tail call. Each has a wrapper of its own: the call
//! is then a direct jump, and nothing waits for a grace period.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp, XdpMode, loaded_programs},
};
use nix::time::{ClockId, clock_gettime};

use super::{mapping::Mapping, object};

#[path = "../../../filter-ebpf/src/bin/bench/abi.rs"]
#[expect(unreachable_pub, reason = "the programs see it as a module of theirs")]
mod abi;

pub use abi::SOURCES;
use abi::{RESTORED, State};

/// Words of a [`State`].
const STATE_WORDS: usize = size_of::<State>() / 8;

/// As it lies in the map.
const fn words_of(state: &State) -> [u64; STATE_WORDS] {
    let State { count, length, start, here, undone: [head, tail, meta], mask, source, sums: [first, second] } =
        *state;
    [count, length, start, here, head, tail, meta, mask, source, first, second]
}

/// Index of the loopback device, in every network namespace.
const LOOPBACK: u32 = 1;

/// A program that does next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `XDP_DROP`
    Drop,
    /// `XDP_PASS`
    Pass,
    /// `XDP_TX`
    Tx,
    /// Moves the frame's beginning.
    MoveHead,
    /// Moves its end.
    MoveTail,
    /// Makes room for metadata.
    MoveMeta,
}

impl Reference {
    /// Those that change what the wrapper has to undo, in the order of [`Timed::undone`].
    pub const MOVES: [Self; 3] = [Self::MoveHead, Self::MoveTail, Self::MoveMeta];

    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "empty_drop",
            Self::Pass => "empty_pass",
            Self::Tx => "empty_tx",
            Self::MoveHead => "move_head",
            Self::MoveTail => "move_tail",
            Self::MoveMeta => "move_meta",
        }
    }
}

/// Where a frame's source lies, in 16-bit halves; 0 means there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The 32 bits that change from source to source.
    pub source: u64,
    /// Checksums over them.
    pub sums: [u64; 2],
}

/// What one run sends.
#[derive(Clone, Copy, Debug)]
pub struct Shots<'a> {
    /// The frame.
    pub frame: &'a [u8],
    /// Where its source lies.
    pub places: Places,
    /// Sources in turn, as they lie in a packet: a power of two, at most [`SOURCES`]; none leaves the frame as it is.
    pub sources: &'a [u32],
    /// How many.
    pub count: u32,
}

/// What one run took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timed {
    /// Nanoseconds of this thread's CPU time for each repetition.
    pub nanoseconds: f64,
    /// Part of the repetitions that had to undo a change of the frame's beginning, its end, its metadata.
    pub undone: [f64; 3],
}

/// One program under test with its wrapper.
pub struct Wrapper {
    ebpf: Ebpf,
    program: &'static str,
    renewed: Mapping,
}

impl std::fmt::Debug for Wrapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapper").field("program", &self.program).finish_non_exhaustive()
    }
}

/// An XDP program that is loaded.
pub fn program(id: u32) -> Result<ProgramFd> {
    let found = loaded_programs().flatten().find(|program| program.id() == id);
    Ok(found.with_context(|| format!("program {id} is gone"))?.fd()?)
}

impl Wrapper {
    /// Around a program that takes frames in one buffer.
    ///
    /// The wrapper is attached to the loopback device of the thread's network namespace, which must have no XDP program yet:
    /// the kernel calls what is attached without a retpoline.
    pub fn around(program: &ProgramFd) -> Result<Self> {
        Self::new("wrap", |_| Ok(program.try_clone()?))
    }

    /// Around a program that does next to nothing.
    pub fn reference(reference: Reference) -> Result<Self> {
        Self::new("wrap", |ebpf| {
            let program = xdp(ebpf, reference.name())?;
            program.load()?;
            Ok(program.fd()?.try_clone()?)
        })
    }

    /// A reference without a wrapper, which runs only frames that it leaves alone.
    pub fn bare(reference: Reference) -> Result<Self> {
        Self::new(reference.name(), |ebpf| Ok(xdp(ebpf, reference.name())?.fd()?.try_clone()?))
    }

    fn new(name: &'static str, target: impl FnOnce(&mut Ebpf) -> Result<ProgramFd>) -> Result<Self> {
        ensure!(!object::BENCH.is_empty(), "this floodwall was built without its measuring programs");
        let mut ebpf = EbpfLoader::new().load(object::BENCH).context("the measuring programs")?;
        let wrapper = xdp(&mut ebpf, name)?;
        wrapper.load().with_context(|| format!("load {name}"))?;
        wrapper.attach_to_if_index(LOOPBACK, XdpMode::Skb).with_context(|| format!("attach {name}"))?;
        let target = target(&mut ebpf)?;
        if name.starts_with("wrap") {
            let mut jump = ProgramArray::try_from(ebpf.map_mut("TARGET").context("no map TARGET")?)?;
            jump.set(0, &target, 0).context("the program under test can't be called from another one")?;
        }
        let renewed = match ebpf.map("RENEWED") {
            Some(Map::Array(map)) => Mapping::writable(map)?,
            _ => anyhow::bail!("no array RENEWED"),
        };
        Ok(Self { ebpf, program: name, renewed })
    }

    /// Runs it; socket look-ups see the network namespace of this thread.
    #[expect(clippy::cast_precision_loss, reason = "at most as many as repetitions")]
    pub fn run(&mut self, shots: &Shots<'_>) -> Result<Timed> {
        self.prepare(shots)?;
        let program: &Xdp = self.ebpf.program(self.program).context("no program")?.try_into()?;
        let options =
            TestRunOptions { data_in: Some(shots.frame), repeat: shots.count, ..TestRunOptions::new() };
        let before = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
        program.test_run(options).context("BPF_PROG_TEST_RUN")?;
        let taken = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)? - before;
        let each = |total: f64| total / f64::from(shots.count.max(1));
        let state: Array<_, [u64; STATE_WORDS]> = Array::try_from(self.ebpf.map("STATE").context("STATE")?)?;
        let done = state.get(&0, 0)?;
        Ok(Timed {
            nanoseconds: each(std::time::Duration::from(taken).as_secs_f64() * 1e9),
            undone: [done[4], done[5], done[6]].map(|count| each(count as f64)),
        })
    }

    fn prepare(&mut self, shots: &Shots<'_>) -> Result<()> {
        let renews = !shots.sources.is_empty();
        let places = if renews { shots.places } else { Places::default() };
        let state = State {
            length: shots.frame.len() as u64,
            mask: shots.sources.len().saturating_sub(1) as u64,
            source: places.source,
            sums: places.sums,
            ..State::default()
        };
        let mut words = [0; RESTORED / 8];
        for (word, bytes) in words.iter_mut().zip(shots.frame.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        for (word, pair) in self.renewed.words().iter().zip(shots.sources.chunks(2)) {
            let second = pair.get(1).copied().unwrap_or(pair[0]);
            word.store(u64::from(pair[0]) | u64::from(second) << 32, Relaxed);
        }
        self.set("STATE", words_of(&state))?;
        self.set("FRAME", words)
    }

    fn set<const N: usize>(&mut self, name: &str, words: [u64; N]) -> Result<()> {
        let map = self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))?;
        Ok(Array::<_, [u64; N]>::try_from(map)?.set(0, words, 0)?)
    }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
